"""The page of `fairlead why`."""

from typing import TYPE_CHECKING, Any

from fairlead.deployment.story import span
from fairlead.pages import Page
from fairlead_pipelines.command.why import shown_answer, shown_decision, window_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fairlead.deployment.story import Story

_MOST_BARS = 20


def page_of(story: "Story") -> Page:
    """Makes the page of a story."""
    row = story.row
    page = Page(f"Why {row['model'] or story.service} answered {shown_answer(story.answer)}")
    facts: dict[str, Any] = {"answer": shown_answer(story.answer)}
    if row.get("decision") is not None:
        facts["decided"] = shown_decision(row["decision"])
    facts |= {"asked at": row["time"], "features as of": row["as_of"], "milliseconds": 1000 * (row["seconds"] or 0)}
    facts |= {"service": story.service, "request": row["request_id"]}
    if story.rows > 1:
        facts["row"] = f"{row['row']} of {story.rows}"
    if row.get("trace_id"):
        facts["trace"] = row["trace_id"]
    page.facts(facts)
    if story.others:
        page.heading("Other versions' answers")
        page.table(["version", "answer"], [[digest, shown_answer(answer)] for digest, answer in story.others.items()])
    _tell_features(page, story)
    _tell_model(page, story)
    _tell_outcomes(page, story)
    return page


def _tell_features(page: Page, story: "Story") -> None:
    page.heading("Features, as the model saw them")
    unfresh = [one for one in story.features if one.state]
    if unfresh:
        names = ", ".join(f"{one.name} ({one.state})" for one in unfresh)
        page.note(f"Not fresh at the prediction time: {names}.", "warn")
    found = story.explanation
    headers = ["feature", "value", "observed", "age", *(["moved it by"] if found else [])]
    rows = [
        [one.name, "missing" if one.value is None else one.value, one.observed or "", span(one.age),
         *([one.moved] if found else [])]
        for one in story.features
    ]  # fmt: skip
    page.table(headers, rows)
    if found:
        page.figure(
            _bars(story),
            f"What moved the prediction from {found['base']:.4f}, the mean of {found['background_rows']} reference "
            f"rows, to {found['prediction']:.4f}, with standard errors.",
        )
        page.text(f"{found['method']}; {found['evaluations']:,} evaluations, {found['milliseconds']:.0f} ms.")


def _bars(story: "Story") -> "Figure":
    from matplotlib.figure import Figure

    found = story.explanation or {}
    shown = [one for one in story.features if one.moved is not None][:_MOST_BARS][::-1]
    figure = Figure(figsize=(7, 0.6 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    moved = [one.moved or 0.0 for one in shown]
    colors = ["#c0392b" if value > 0 else "#2c7fb8" for value in moved]
    errors = [found["standard_errors"][one.name] for one in shown]
    axes.barh([one.name for one in shown], moved, xerr=errors, color=colors, error_kw={"lw": 1})
    axes.axvline(0, color="black", lw=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"moved the {found['output']} by")
    return figure


def _tell_model(page: Page, story: "Story") -> None:
    page.heading("The model")
    model = story.model
    if model is None:
        page.note(f"No model with the digest {story.row['digest']} is registered here: its data are not known.", "warn")
        return
    version = model.version
    facts = {
        "model": version.name,
        "version": version.version,
        "digest": version.digest,
        "aliases": ", ".join(version.aliases),
    }
    page.facts({**facts, "registered": version.created_at, "revision": model.revision, "run": model.run})
    if model.datasets:
        page.table(["data", "digest", "rows", "window", "source"], [
            [f"{one.role}: {one.name or 'dataset'}", one.digest, one.rows, window_of(story, one), one.source]
            for one in model.datasets
        ], "Made from")  # fmt: skip
    if story.judgements:
        page.table(["judge", "outcome", "signature", "at"], [
            [one.verdict.judge, one.verdict.outcome, one.signature, one.verdict.created_at] for one in story.judgements
        ], "Verdicts")  # fmt: skip


def _tell_outcomes(page: Page, story: "Story") -> None:
    page.heading("What became of it")
    if not story.outcomes:
        page.text("No outcome was reported yet.")
        return
    page.table(["outcome", "reported"], [[one["outcome"], one["time"]] for one in story.outcomes])
    if len({one["outcome"] for one in story.outcomes}) > 1:
        page.note("The reports contradict one another; the last one counts.", "warn")

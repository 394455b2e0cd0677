"""A model card's chapters, those of Mitchell et al. 2019: what people said, and what was measured."""

from collections.abc import Mapping
from typing import Any

from fairlead.evaluation.documents import Block, Bullets, Chapter, Document, Facts, Note, Table, Text, answer
from fairlead.evaluation.figure_names import MAIN
from fairlead.evaluation.write_model_card.facts import CardFacts
from fairlead.evaluation.write_model_card.figures import figures_of, tables_of, terms_of
from fairlead.evaluation.write_model_card.picture import picture_of
from fairlead.evaluation.write_model_card.provenance import provenance
from fairlead.values import limit, percent, title
from fairlead.verdicts import Verdict

_JUDGED = {
    "evaluation": "By itself, on rows that training never saw",
    "slices": "On parts of the rows, and between groups",
    "behaviour": "Behaviour that is demanded in all cases",
    "comparison": "Against the champion, on the same rows",
    "server": "In the server that will serve it",
    "load": "Under load",
    "canary": "With real traffic",
}
_KINDS = {"approved": "good", "rejected": "bad", "inconclusive": "warn"}
_SIGNS = {"approved": "✓", "rejected": "✗", "inconclusive": "?"}
_INPUT_ROWS = 60


def make_document(facts: CardFacts) -> Document:
    """The card as a document."""
    return Document(
        f"Model card: {facts.manifest.name}",
        [Text(facts.spec.overview), *_lead(facts)] if facts.spec.overview else _lead(facts),
        [
            _details(facts),
            _intended_use(facts),
            _factors(facts),
            _metrics(facts),
            _evaluation_data(facts),
            _training_data(facts),
            _analyses(facts),
            Chapter("Ethical considerations", [answer(facts.spec.ethical_considerations)]),
            _caveats(facts),
            provenance(facts),
        ],
    )


def _lead(facts: CardFacts) -> list[Block]:
    manifest = facts.manifest
    known = {"predicts": manifest.label, "task": manifest.task, "inputs": len(manifest.inputs)}
    evaluation = facts.verdicts.get("evaluation")
    found = figures_of(evaluation) if evaluation else {}
    main = {title(name): found[name].told for name in MAIN.get(manifest.task, ()) if name in found}
    blocks: list[Block] = [Facts({**known, **main, "digest": facts.digest})]
    if facts.verdicts:
        rows: list[tuple[str | None, ...]] = [
            (
                v.judge,
                f"{_SIGNS[v.outcome]}\u00a0{v.outcome}",
                v.created_at,
                v.key or "nobody",
                "; ".join(v.reasons) or None,
            )
            for v in facts.verdicts.values()
        ]
        blocks.append(
            Table(
                ("judge", "outcome", "judged at", "signature of", "remarks"),
                rows,
                "Who has judged it; fairlead verify checks the signatures",
            )
        )
    else:
        blocks.append(Note("No verdicts were given: nothing here says how good this model is.", "warn"))
    return blocks


def _details(facts: CardFacts) -> Chapter:
    spec, lineage, manifest = facts.spec, facts.lineage, facts.manifest
    threshold = limit(manifest.threshold) if manifest.task == "binary" else "does not apply"
    return Chapter(
        "Model details",
        [
            Facts({
                "owners": spec.owners, "contacts": spec.contacts, "licence": spec.licence,
                "recipe": lineage.get("recipe"), "precision": lineage.get("precision"),
                "answers yes from": threshold,
                "citation": spec.citation,
            }),
            *([Bullets(spec.references)] if spec.references else []),
        ],
        [Chapter("Inputs", [_inputs(facts)])],
    )  # fmt: skip


def _inputs(facts: CardFacts) -> Table:
    statistics = facts.lineage.get("statistics") or {}
    rows = []
    for entry in facts.manifest.inputs:
        known = statistics.get(entry.name) or {}
        detail = f"{len(entry.vocabulary)} known values" if entry.kind == "categorical" else None
        detail = " x ".join(map(str, entry.shape)) if entry.kind == "image" else detail
        missing = known.get("missing_share")
        rows.append(
            (entry.name, entry.kind, detail, known.get("median"), None if missing is None else percent(missing))
        )
    left = len(rows) - _INPUT_ROWS
    caption = f"The first {_INPUT_ROWS}; {left} more are in package.json" if left > 0 else ""
    return Table(("input", "kind", "values", "median in training", "missing in training"), rows[:_INPUT_ROWS], caption)


def _intended_use(facts: CardFacts) -> Chapter:
    return Chapter(
        "Intended use",
        (),
        [
            Chapter("What it was made for", [answer(facts.spec.intended_use)]),
            Chapter("Who is to use it", [answer(facts.spec.intended_users)]),
            Chapter("What it must not be used for", [answer(facts.spec.out_of_scope)]),
        ],
    )


def _factors(facts: CardFacts) -> Chapter:
    slices = facts.verdicts.get("slices")
    measured = "Its quality on parts of the rows was judged; see the quantitative analyses."
    none = "Its quality on parts of the rows: not recorded (no verdict of evaluate_slices was given)."
    return Chapter("Factors", [answer(facts.spec.factors), Text(measured if slices else none)])


def _metrics(facts: CardFacts) -> Chapter:
    """What was demanded: bounds and how uncertainty was told."""
    rows = [
        (judge, title(figure.name), figure.demanded)
        for judge, verdict in facts.verdicts.items()
        for figure in figures_of(verdict).values()
        if figure.demanded
    ]
    terms = [
        (judge, name, _set(value))
        for judge, verdict in facts.verdicts.items()
        for name, value in terms_of(verdict).items()
    ]
    blocks: list[Block] = [
        Text("Intervals stand in brackets behind an estimate; the reports of the run say how each was made.")
    ]
    blocks.append(Table(("judge", "figure", "demanded"), rows) if rows else Text("Demands on figures: not recorded."))
    return Chapter("Metrics", [*blocks, Table(("judge", "setting", "value"), terms)] if terms else blocks)


def _evaluation_data(facts: CardFacts) -> Chapter:
    return Chapter("Evaluation data", [_dataset(_as_told(facts.test)), answer(facts.spec.evaluation_data)])


def _training_data(facts: CardFacts) -> Chapter:
    sets = [Chapter(name.capitalize(), [_dataset(facts.lineage.get(name))]) for name in ("train", "validation")]
    return Chapter("Training data", [Text("Its datasheet says more.")], sets)


def _as_told(test: Mapping[str, Any]) -> dict[str, Any] | None:
    if not test:
        return None
    span = [test["from"], test["until"]] if test.get("from") else None
    return {**{key: test.get(key) for key in ("name", "digest", "rows", "source", "licence")}, "time_range": span}


def _dataset(known: Any) -> Block:
    if not isinstance(known, Mapping) or not known:
        return Text("not recorded")
    span = known.get("time_range")
    told = {key: known.get(key) for key in ("name", "rows", "source", "digest")}
    licence = {"licence": known["licence"]} if "licence" in known else {}
    return Facts({**told, **licence, "from": span[0] if span else None, "until": span[1] if span else None})


def _analyses(facts: CardFacts) -> Chapter:
    parts = [
        Chapter(_JUDGED.get(judge, title(judge).capitalize()), _analysis(verdict, facts.manifest.task))
        for judge, verdict in facts.verdicts.items()
    ]
    absent = [judge for judge in _JUDGED if judge not in facts.verdicts and judge != "canary"]
    blocks: list[Block] = [Text(f"Verdicts not recorded: {', '.join(absent)}.")] if absent else []
    return Chapter("Quantitative analyses", blocks, parts)


def _analysis(verdict: Verdict, task: str) -> list[Block]:
    heading = Note(f"{verdict.judge}: {verdict.outcome}", _KINDS[verdict.outcome])  # type: ignore[arg-type]
    reasons = [Bullets(verdict.reasons)] if verdict.reasons else []
    picture = picture_of(verdict, MAIN.get(task, ())[:1]) if verdict.judge == "evaluation" else None
    return [heading, *reasons, *([picture] if picture else []), *tables_of(verdict)]


def _caveats(facts: CardFacts) -> Chapter:
    found = [f"{v.judge}: {reason}" for v in facts.verdicts.values() if v.outcome != "approved" for reason in v.reasons]
    objected: list[Block] = [Text("What judges objected to:"), Bullets(found)] if found else []
    parts = [
        Chapter("Caveats", [answer(facts.spec.caveats), *objected]),
        Chapter("Recommendations", [answer(facts.spec.recommendations)]),
    ]
    if facts.missing:
        parts.append(Chapter("What is not recorded", [Text(", ".join(facts.missing))]))
    return Chapter("Caveats and recommendations", (), parts)


def _set(value: float | str) -> str:
    """A value that somebody set, without the zeros of one that was measured."""
    return value if isinstance(value, str) else limit(value)

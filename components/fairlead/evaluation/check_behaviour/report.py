"""The report of behaviour tests: an overview, then each test with rows before and after."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.behaviour_spec import BehaviourSpec
from fairlead.evaluation.check_behaviour.testing import Example, Finding
from fairlead.evaluation.check_behaviour.words import described, value, watched
from fairlead.pages import Page
from fairlead.values import number, percent
from fairlead.verdicts import Verdict
from fairlead_serving.images import write_png
from fairlead_serving.package import Manifest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {"passed": "good", "failed": "bad", "doubtful": "warn", "not run": "warn"}
MOST_STAGES = 8  # of a sequence, in one table or row of pictures


def write_report(
    path: Path | str, manifest: Manifest, tested: Sequence[Finding], verdict: Verdict, spec: BehaviourSpec
) -> None:
    """Writes the HTML report.

    Args:
        path: The file.
        manifest: The model's.
        tested: What came of each test.
        verdict: What was concluded.
        spec: What was demanded.
    """
    page = Page(f"Behaviour of {manifest.name}")
    kind = {"approved": "good", "rejected": "bad"}.get(verdict.outcome, "warn")
    page.note(f"Verdict: {verdict.outcome}", kind)  # type: ignore[arg-type]
    counts = {outcome: sum(test.outcome == outcome for test in tested) for outcome in KINDS}
    page.facts({**{k: n for k, n in counts.items() if n or k in ("passed", "failed")}, "model": verdict.model_digest})
    _overview(page, tested, spec)
    for test in sorted(tested, key=lambda test: list(KINDS).index(test.outcome) if test.outcome == "passed" else -1):
        _one(page, test, manifest)
    page.write(path)


def _overview(page: Page, tested: Sequence[Finding], spec: BehaviourSpec) -> None:
    page.heading("All tests")
    run = [test for test in tested if test.rows]
    if run:
        caption = (
            f"Share of rows that fail, with {spec.confidence:.0%} Wilson intervals; the tick is what is "
            "allowed. A test fails where the whole interval lies beyond it."
        )
        page.figure(_shares(run), caption)
    page.table(
        ["test", "kind", "rows", "failures", "share", "allowed", ""],
        [
            (
                test.spec.name,
                test.spec.kind,
                test.rows,
                test.failures,
                _share(test),
                percent(test.spec.allowed_failures),
                test.outcome + ("" if test.spec.required else " (informs only)"),
            )
            for test in tested
        ],
    )


def _share(test: Finding) -> str:
    if not test.rows:
        return "—"
    if test.spec.rows:  # given rows are all there are
        return percent(test.share.estimate)
    return f"{percent(test.share.estimate)} ({percent(test.share.low)} to {percent(test.share.high)})"


def _shares(tested: Sequence[Finding]) -> "Figure":
    from fairlead import plots

    colors = {"passed": plots.SERIES[2], "failed": plots.SERIES[4], "doubtful": plots.SERIES[1]}
    figure, axes = plots.figure(9.5, 1.1 + 0.3 * len(tested))
    for place, test in enumerate(tested):
        color = colors[test.outcome]
        axes.plot([100 * test.share.low, 100 * test.share.high], [place, place], color=color, linewidth=2.4, alpha=0.5)
        axes.plot([100 * test.share.estimate], [place], color=color, marker="o", markersize=6.5, linestyle="")
        allowed = 100 * test.spec.allowed_failures
        axes.plot([allowed, allowed], [place - 0.33, place + 0.33], color=plots.INK, linewidth=1.6)
    axes.set_yticks(range(len(tested)), [test.spec.name for test in tested], fontsize=9)
    axes.set_ylim(len(tested) - 0.4, -0.6)
    widest = max(1.0, *(100 * max(test.share.high, test.spec.allowed_failures) for test in tested))
    axes.set_xlim(-0.02 * widest, 1.05 * widest)
    axes.grid(visible=False, axis="y")
    plots.label(axes, "rows that fail, per cent")
    return figure


def _one(page: Page, test: Finding, manifest: Manifest) -> None:
    page.heading(test.spec.name[:1].upper() + test.spec.name[1:])
    page.text(described(test.spec, manifest))
    page.note(_result(test), KINDS[test.outcome])  # type: ignore[arg-type]
    failed = [example for example in test.examples if example.failed]
    passed = [example for example in test.examples if not example.failed]
    if failed:
        _examples(page, failed, test, manifest, f"The worst {len(failed)} of {test.failures} failures.")
    if passed:
        with page.folded("rows that pass"):
            _examples(page, passed, test, manifest, "")


def _result(test: Finding) -> str:
    if test.outcome == "not run":
        why = "the change leaves all of them as they are" if test.left_out else "no row of the sample passes the filter"
        return f"Not run: {why}."
    left = f" {test.left_out} drawn rows, which the change leaves as they are, do not count." if test.left_out else ""
    share = f"{test.failures} of {number(test.rows)} rows fail, {_share(test)}."
    doubt = " More than allowed were seen, though chance could do this: draw more rows." * (test.outcome == "doubtful")
    return f"{test.outcome.capitalize()}: {share}{doubt}{left}"


def _examples(page: Page, examples: Sequence[Example], test: Finding, manifest: Manifest, caption: str) -> None:
    pictures = {image.name for image in manifest.images}
    if any(name in pictures for example in examples for name in example.changed):
        _picture_rows(page, examples, pictures, caption)
    else:
        _table(page, examples, test, manifest, caption)


def _table(page: Page, examples: Sequence[Example], test: Finding, manifest: Manifest, caption: str) -> None:
    first = examples[0]
    has_labels = any(example.label for example in examples)
    headers = [*first.shown, *first.changed, *(["truth"] if has_labels else [])]
    output = watched(test.spec, manifest).removeprefix("the ")
    headers.append(output if len(first.outputs) == 1 else f"{output} before and after")
    rows = []
    for example in examples:
        moves = [_arrows([value(v) for v in values]) for values in example.changed.values()]
        answers = [f"{_short(x)} {a}".strip() for x, a in zip(example.outputs, _said(example), strict=True)]
        label = [example.label] if has_labels else []
        rows.append([*map(value, example.shown.values()), *moves, *label, _arrows(answers)])
    page.table(headers, rows, caption)


def _said(example: Example) -> Sequence[str]:
    """The answers, where they change."""
    return example.answers if len(set(example.answers)) > 1 else [""] * len(example.outputs)


def _arrows(values: Sequence[str]) -> str:
    """Values in sequence; those that never change once."""
    kept = list(values) if len(set(values)) > 1 else list(values[:1])
    middle = ["…"] if len(kept) > MOST_STAGES else []
    return " → ".join([*kept[: MOST_STAGES - 2], *middle, kept[-1]] if middle else kept)


def _short(of: float) -> str:
    return f"{of:.3f}" if abs(of) < 1000 else number(of)  # noqa: PLR2004 - a probability, or a small number


def _picture_rows(page: Page, examples: Sequence[Example], pictures: set[str], caption: str) -> None:
    """Adds a row of pictures for each example: before, then after."""
    if caption:
        page.text(caption)
    shown: list[tuple[bytes, str]] = []
    width = 0
    for example in examples:
        values = next(values for name, values in example.changed.items() if name in pictures)
        stages = _stages(example, len(values))
        width = len(stages)
        shown += [(write_png(np.asarray(values[stage])), _under(example, stage)) for stage in stages]
    page.pictures(shown, columns=width * max(1, MOST_STAGES // width))


def _stages(example: Example, count: int) -> list[int]:
    """The stages that are shown: all of a short sequence, otherwise the first and the one that fails."""
    return list(range(count)) if count <= MOST_STAGES // 2 else sorted({0, example.stage})


def _under(example: Example, stage: int) -> str:
    answer = f"{example.answers[stage]} " if example.answers else ""
    wrong = stage == 0 and example.label and example.label != answer.strip()
    truth = f", truly {example.label}" if wrong else ""
    return f"{'→ ' if stage else ''}{answer}({_short(example.outputs[stage])}){truth}"

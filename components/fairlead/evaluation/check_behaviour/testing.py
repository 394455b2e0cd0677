"""Runs behaviour tests: rows, changes, answers, failures, examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fairlead.errors import SchemaError
from fairlead.evaluation.behaviour_spec import BehaviourSpec, BehaviourTestSpec
from fairlead.evaluation.check_behaviour.changes import Columns, differs, stages
from fairlead.evaluation.check_behaviour.expectations import Answers, Failures, find_failures
from fairlead.evaluation.check_behaviour.sampling import Cases
from fairlead.evaluation.resampling import Interval
from fairlead.evaluation.rows import IMAGE_BATCH_ROWS
from fairlead.evaluation.scoring import check_answers
from fairlead_serving.package import OUTPUTS, InputInvalidError, ModelPackage

Outcome = Literal["passed", "failed", "doubtful", "not run"]
PASSED_EXAMPLES = 2
BATCH_ROWS = 8192


@dataclass(frozen=True)
class Example:
    """One row before and after.

    Attributes:
        failed: Whether it fails.
        changed: By column, its values: before, then at each stage.
        shown: Further values of the row.
        label: The truth in words; empty where it is not known.
        outputs: What was looked at, before and at each stage.
        answers: The answers in words, before and at each stage; empty for a model of numbers.
        stage: The stage that shows it best.
    """

    failed: bool
    changed: Mapping[str, Sequence[Any]]
    shown: Mapping[str, Any]
    label: str
    outputs: Sequence[float]
    answers: Sequence[str]
    stage: int


@dataclass(frozen=True)
class Finding:
    """What came of one test.

    Attributes:
        spec: The test.
        rows: Rows that it was made on.
        left_out: Drawn rows that the change leaves as they are, and that say nothing.
        matching: Rows of the sample that pass the filter.
        failures: How many of `rows` fail.
        share: Of failures, with its Wilson interval (without one for given rows, which are all there are); NaN where
            there are no rows.
        outcome: `failed` where the interval lies above what is allowed (given rows: where the share does), `doubtful`
            where only the share does, `not run` where there are no rows.
        examples: Failures, the worst first, then a few rows that pass.
    """

    spec: BehaviourTestSpec
    rows: int
    left_out: int
    matching: int
    failures: int
    share: Interval
    outcome: Outcome
    examples: Sequence[Example]


def run_test(package: ModelPackage, test: BehaviourTestSpec, cases: Cases, spec: BehaviourSpec) -> Finding:
    """Runs one test.

    Args:
        package: The model.
        test: The test, which `check_changes` and `check_expectations` have passed.
        cases: Its rows.
        spec: Confidence, examples, seed.

    Returns:
        What came of it.

    Raises:
        SchemaError: The model cannot take the rows.
        PackageError: It answers what is none of its task.
    """
    seed = (spec.seed, *test.name.encode())
    drawn, copies = len(cases), stages(test, cases.columns, seed)
    if copies and test.kind != "minimum-functionality" and drawn:
        kept = np.flatnonzero(np.logical_or.reduce([differs(cases.columns, copy) for copy in copies]))
        cases = cases.take(kept)
        copies = [{name: values[kept] for name, values in copy.items()} for copy in copies]
    if not len(cases):
        empty = Interval(float("nan"), float("nan"), float("nan"))
        return Finding(test, 0, drawn, cases.matching, 0, empty, "not run", ())
    series = copies if _starts_changed(test) else [cases.columns, *copies]
    outputs = [predict(package, columns) for columns in series]
    answers = Answers(package.manifest, outputs, cases.labels, bool(copies))
    failures = find_failures(test, answers)
    count, rows = int(failures.failed.sum()), len(cases)
    share = Interval(*[count / rows] * 3) if test.rows else _wilson(count, rows, spec.confidence)
    examples = _examples(test, cases, series, answers, failures, spec.examples)
    return Finding(test, rows, drawn - rows, cases.matching, count, share, _outcome(test, share), examples)


def _starts_changed(test: BehaviourTestSpec) -> bool:
    """Whether a sequence replaces the row's own value, so that the row as it was is no part of it."""
    sequences = [change for change in test.change if change.is_sequence]
    return test.kind == "directional" and bool(sequences) and all(change.name == "set" for change in sequences)


def predict(package: ModelPackage, columns: Columns) -> np.ndarray:
    """What a model answers: (N,) or (N, K).

    Raises:
        SchemaError: It cannot take the rows.
        PackageError: It answers what is none of its task.
    """
    manifest, count = package.manifest, len(next(iter(columns.values())))
    size = IMAGE_BATCH_ROWS if manifest.images else BATCH_ROWS
    parts = []
    for start in range(0, count, size):
        try:
            found = package.predict({name: values[start : start + size] for name, values in columns.items()})
        except InputInvalidError as error:
            raise SchemaError(f"the model cannot take these rows: {error}") from None
        parts.append(check_answers(found[OUTPUTS[manifest.task]], manifest.task, len(manifest.classes)))
    return np.concatenate(parts)


def _wilson(failures: int, rows: int, confidence: float) -> Interval:
    from scipy import stats

    found = stats.binomtest(failures, rows).proportion_ci(confidence, method="wilson")
    return Interval(failures / rows, float(found.low), float(found.high))


def _outcome(test: BehaviourTestSpec, share: Interval) -> Outcome:
    if share.estimate <= test.allowed_failures:
        return "passed"
    # Given rows are all there are: nothing was drawn, so that nothing is left to chance.
    return "failed" if test.rows or share.low > test.allowed_failures else "doubtful"


def _examples(
    test: BehaviourTestSpec, cases: Cases, series: Sequence[Columns], answers: Answers, failures: Failures, most: int
) -> list[Example]:
    order = np.lexsort((-failures.excess, ~failures.failed))  # failures first, the worst of them first
    shown = min(most, int(failures.failed.sum()))
    passing = order[int(failures.failed.sum()) :][:PASSED_EXAMPLES] if most else order[:0]
    columns = list(dict.fromkeys(c for change in test.change for c in (change.column, change.swap) if c))
    if not columns and cases.matching == len(cases) and test.rows:
        columns = [name for name in cases.columns if any(name in row for row in test.rows)]
    watched = _watched(test, answers)
    words = _words(answers)
    found = []
    for row in [*order[:shown].tolist(), *passing.tolist()]:
        values = {name: [stage[name][row] for stage in series] for name in columns or _pictures(answers)}
        shown_values = {name: value[row] for name, value in cases.shown.items() if name not in values}
        answered = [of_stage[row] for of_stage in words]
        failed, stage, outputs = bool(failures.failed[row]), int(failures.stage[row]), watched[:, row].tolist()
        found.append(Example(failed, values, shown_values, _truth(answers, row), outputs, answered, stage))
    return found


def _pictures(answers: Answers) -> list[str]:
    """Of a test that changes nothing, pictures are shown nevertheless."""
    return [image.name for image in answers.manifest.images]


def _watched(test: BehaviourTestSpec, answers: Answers) -> np.ndarray:
    """What examples show: (S, N). Of classes, the probability of each stage's own answer, unless a class is meant."""
    if answers.manifest.task == "multiclass" and (test.kind == "invariance" or answers.labels is None):
        return np.stack([output.max(axis=1) for output in answers.outputs])
    return answers.watched(test.of)


def _words(answers: Answers) -> list[list[str]]:
    task, classes = answers.manifest.task, answers.manifest.classes
    if task == "multiclass":
        return [[classes[code] for code in stage] for stage in answers.answers().tolist()]
    return (
        [["yes" if code else "no" for code in stage] for stage in answers.answers().tolist()]
        if task == "binary"
        else []
    )


def _truth(answers: Answers, row: int) -> str:
    if answers.labels is None:
        return ""
    value = answers.labels[row]
    task = answers.manifest.task
    if task == "multiclass":
        return answers.manifest.classes[int(value)]
    return ("yes" if value else "no") if task == "binary" else f"{value:g}"

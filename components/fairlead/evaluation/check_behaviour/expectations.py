"""Which rows fail a test, given what the model answers before and after its changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairlead.errors import ConfigurationError
from fairlead.evaluation.behaviour_spec import BehaviourTestSpec
from fairlead.evaluation.grouping import said
from fairlead_serving.package import OUTPUTS, Manifest

ROUNDING = 1e-6  # packages answer in float32
_YES = {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False}


@dataclass(frozen=True)
class Failures:
    """Which rows fail.

    Attributes:
        failed: (N,) bool.
        excess: (N,) float64, how far beyond what is allowed; what sorts examples.
        stage: (N,) int64, the stage that shows it best.
    """

    failed: np.ndarray
    excess: np.ndarray
    stage: np.ndarray


@dataclass(frozen=True)
class Answers:
    """What a model answers to the stages of a test.

    Attributes:
        manifest: The model's.
        outputs: By stage, (N,) or (N, K).
        labels: (N,) the truth; None where it is not known.
        changed: Whether the first stage is the rows as they were; of a test without a change it is all there is.
    """

    manifest: Manifest
    outputs: Sequence[np.ndarray]
    labels: np.ndarray | None
    changed: bool

    def watched(self, of: str) -> np.ndarray:
        """The one number of each answer that is looked at: (S, N); see `of` in BehaviourTestSpec."""
        stacked = np.stack([np.asarray(output, dtype=np.float64) for output in self.outputs])
        if self.manifest.task != "multiclass":
            return stacked
        rows = np.arange(stacked.shape[1])
        if of == "answer":
            return np.asarray(stacked[:, rows, stacked[0].argmax(axis=1)])
        if of == "label":
            assert self.labels is not None  # noqa: S101 - check_expectations demands it
            return np.asarray(stacked[:, rows, self.labels])
        return np.asarray(stacked[:, :, self.manifest.classes.index(of)])

    def answers(self) -> np.ndarray:
        """The answers by number, (S, N) int64: classes, or 0 and 1."""
        if self.manifest.task == "multiclass":
            return np.stack([output.argmax(axis=1) for output in self.outputs])
        return np.stack([output >= self.manifest.threshold for output in self.outputs]).astype(np.int64)


def check_expectations(test: BehaviourTestSpec, manifest: Manifest, *, has_labels: bool) -> None:
    """Makes sure that what a test expects fits the model's task.

    Raises:
        ConfigurationError: It does not.
    """
    task, where = manifest.task, f"behaviour test {test.name!r}"
    has_answers = task in ("binary", "multiclass")
    expected = [] if test.expect is None else [test.expect.answer, test.expect.not_answer]
    named = [value for value in expected if value is not None]
    if not has_answers and (named or test.same_answer):
        raise ConfigurationError(f"{where} looks at the answer; a {task} model has numbers only: use bounds")
    for value in named:
        if value != "label":
            code_of(value, manifest, where)
    if task == "multiclass" and test.of not in ("answer", "label", *manifest.classes):
        raise ConfigurationError(
            f"{where}: `of: {test.of}` is no class; choose answer, label, or one of {', '.join(manifest.classes)}"
        )
    uses_label = "label" in named or (task == "multiclass" and test.of == "label" and test.kind != "invariance")
    if not has_labels and uses_label:
        raise ConfigurationError(
            f"{where} looks at the truth, and its given rows have none; add it to them, or set `of`"
        )
    if test.kind == "invariance" and test.tolerance is None and not test.same_answer and task != "multiclass":
        raise ConfigurationError(f"{where} must say how far the {OUTPUTS[task]} may move; set tolerance or same_answer")


def code_of(value: Any, manifest: Manifest, where: str) -> int:
    """An answer's number.

    Raises:
        ConfigurationError: The model never gives this answer.
    """
    text = said(int(value) if isinstance(value, bool) else value)
    if manifest.task == "multiclass":
        if text not in manifest.classes:
            raise ConfigurationError(f"{where} expects {text!r}, which is none of {', '.join(manifest.classes)}")
        return manifest.classes.index(text)
    if text.lower() not in _YES:
        raise ConfigurationError(f"{where} expects {text!r}; a yes/no answer is 1 or 0")
    return int(_YES[text.lower()])


def find_failures(test: BehaviourTestSpec, answers: Answers) -> Failures:
    """Finds the rows that fail.

    Args:
        test: The test; see `check_expectations`.
        answers: What the model answers.

    Returns:
        The failures.
    """
    if test.kind == "invariance":
        return _invariance(test, answers)
    if test.kind == "directional":
        return _directional(test, answers)
    return _minimum(test, answers)


def _invariance(test: BehaviourTestSpec, answers: Answers) -> Failures:
    stacked = np.stack([np.asarray(output, dtype=np.float64) for output in answers.outputs])
    moved = np.abs(stacked[1:] - stacked[0])
    moved = moved.max(axis=2) if moved.ndim > 2 else moved  # noqa: PLR2004 - (S, N, K): the class that moves most
    given = answers.answers() if answers.manifest.task in ("binary", "multiclass") else np.zeros(stacked.shape[:2])
    other = given[1:] != given[0]
    failed = np.zeros_like(other)
    if test.tolerance is not None:
        failed |= moved > test.tolerance + ROUNDING
    if test.same_answer or test.tolerance is None:
        failed |= other
    return _of_stages(failed, moved, first=1)


def _directional(test: BehaviourTestSpec, answers: Answers) -> Failures:
    sign = 1.0 if test.direction in ("up", "not_down") else -1.0
    watched = sign * answers.watched(test.of)  # from here on, more is right
    back = -np.diff(watched, axis=0) - (test.tolerance or 0.0)  # (S - 1, N), above 0: a step the wrong way
    wrong = back > ROUNDING
    total = watched[-1] - watched[0]
    failed = np.asarray(wrong.any(axis=0))
    excess = back.max(axis=0)
    if test.direction in ("up", "down"):
        still = (total < test.by - ROUNDING) | (total <= 0)
        failed, excess = failed | still, np.maximum(excess, test.by - total)
    stage = np.where(wrong.any(axis=0), back.argmax(axis=0) + 1, len(watched) - 1)
    return Failures(failed, excess, stage)


def _minimum(test: BehaviourTestSpec, answers: Answers) -> Failures:
    expect, first = test.expect, int(answers.changed)
    assert expect is not None  # noqa: S101 - BehaviourTestSpec demands it
    watched = answers.watched(test.of)[first:]
    excess = np.full(watched.shape, -np.inf)
    if expect.at_least is not None:
        excess = np.maximum(excess, expect.at_least - watched)
    if expect.at_most is not None:
        excess = np.maximum(excess, watched - expect.at_most)
    failed = excess > ROUNDING
    if expect.answer is not None or expect.not_answer is not None:
        given = answers.answers()[first:]
        wrong = np.zeros(given.shape, dtype=bool)
        if expect.answer is not None:
            wrong |= given != _wanted(expect.answer, test, answers)
        if expect.not_answer is not None:
            wrong |= given == _wanted(expect.not_answer, test, answers)
        failed |= wrong
        excess = np.maximum(excess, np.where(wrong, _certainty(answers)[first:], -np.inf))
    return _of_stages(failed, excess, first)


def _wanted(answer: Any, test: BehaviourTestSpec, answers: Answers) -> np.ndarray:
    if answer == "label":
        assert answers.labels is not None  # noqa: S101 - check_expectations demands it
        return answers.labels.astype(np.int64)
    return np.array(code_of(answer, answers.manifest, test.name))


def _certainty(answers: Answers) -> np.ndarray:
    """How sure the model is of its answer: (S, N)."""
    stacked = np.stack([np.asarray(output, dtype=np.float64) for output in answers.outputs])
    return stacked.max(axis=2) if answers.manifest.task == "multiclass" else np.maximum(stacked, 1 - stacked)


def _of_stages(failed: np.ndarray, excess: np.ndarray, first: int) -> Failures:
    """A row fails where any stage does; the worst one is shown."""
    if not failed.size:
        empty = np.zeros(failed.shape[1])
        return Failures(empty.astype(bool), empty, empty.astype(np.int64))
    ranked = np.where(failed, excess, -np.inf) if failed.any() else excess
    stage = np.where(failed.any(axis=0), np.argmax(np.where(failed, ranked, -np.inf), axis=0), excess.argmax(axis=0))
    rows = np.arange(failed.shape[1])
    return Failures(np.asarray(failed.any(axis=0)), excess[stage, rows], stage + first)

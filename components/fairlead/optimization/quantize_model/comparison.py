"""Float against INT8: which is faster, which is better, which is kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fairlead.optimization.packaging import Tensors
from fairlead.optimization.timing import time_interleaved
from fairlead.training.scores import log_loss
from fairlead_serving.package import MODEL, ModelPackage

BATCHES = (1, 64)
WORTH_IT = 1.05  # a speed-up below is within the noise of timing

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Quality:
    """How good a form is on the sample.

    Attributes:
        metric: What decides: `log_loss` in nats, or `rmse` in the label's unit; less is better.
        value: It.
        accuracy: Of classes; None where there are none.
    """

    metric: str
    value: float
    accuracy: float | None = None

    def excess(self, other: "Quality") -> float:
        """By how much it is worse than another: in nats, or as a share of the other's RMSE."""
        difference = self.value - other.value
        return difference if self.metric == "log_loss" else difference / max(other.value, 1e-12)

    @property
    def unit(self) -> str:
        """Of `excess`."""
        return "nats" if self.metric == "log_loss" else "of the RMSE"


@dataclass(frozen=True)
class Comparison:
    """The two forms side by side.

    Attributes:
        float_seconds: Median seconds of a prediction by batch size.
        int8_seconds: The same for INT8.
        float_quality: On the sample.
        int8_quality: The same for INT8.
        largest_difference: Between their answers, on the sample.
        float_bytes: Size of model.onnx.
        int8_bytes: The same for INT8.
    """

    float_seconds: dict[int, float]
    int8_seconds: dict[int, float]
    float_quality: Quality
    int8_quality: Quality
    largest_difference: float
    float_bytes: int
    int8_bytes: int

    def speed_up(self, batch: int) -> float:
        """How many times faster INT8 is at a batch size."""
        return self.float_seconds[batch] / self.int8_seconds[batch]

    def figures(self) -> dict[str, float]:
        """All of it, flat, for metrics."""
        figures = {}
        for batch in self.float_seconds:
            figures[f"fp32_seconds_batch_{batch}"] = self.float_seconds[batch]
            figures[f"int8_seconds_batch_{batch}"] = self.int8_seconds[batch]
            figures[f"speed_up_batch_{batch}"] = self.speed_up(batch)
        for form, quality in (("fp32", self.float_quality), ("int8", self.int8_quality)):
            figures[f"{form}_{quality.metric}"] = quality.value
            if quality.accuracy is not None:
                figures[f"{form}_accuracy"] = quality.accuracy
        return {**figures, "largest_difference": self.largest_difference}


def compare(package: ModelPackage, candidate: ModelPackage, tensors: Tensors, truth: Array) -> Comparison:
    """Measures both forms: seconds at each of `BATCHES`, quality, size.

    Args:
        package: The float form.
        candidate: The INT8 form.
        tensors: Encoded real rows.
        truth: Their labels, (N,): numbers, or class numbers.

    Returns:
        The comparison.
    """
    ours, theirs = _predict(package, tensors), _predict(candidate, tensors)
    seconds = {batch: _time(package, candidate, tensors, batch) for batch in BATCHES}
    return Comparison(
        float_seconds={batch: pair[0] for batch, pair in seconds.items()},
        int8_seconds={batch: pair[1] for batch, pair in seconds.items()},
        float_quality=judge(package.manifest.task, truth, ours),
        int8_quality=judge(package.manifest.task, truth, theirs),
        largest_difference=float(abs(ours - theirs).max()),
        float_bytes=(package.path / MODEL).stat().st_size,
        int8_bytes=(candidate.path / MODEL).stat().st_size,
    )


def judge(task: str, truth: Array, answer: Array) -> Quality:
    """Scores the answers of a model: by log loss where they are probabilities, else by the RMSE."""
    if task in ("regression", "ranking"):
        return Quality("rmse", float(np.sqrt(np.mean((answer.astype(np.float64) - truth) ** 2))))
    decided = answer.argmax(axis=1) if task == "multiclass" else answer >= 0.5  # noqa: PLR2004
    return Quality("log_loss", log_loss(truth, answer), float((decided == truth).mean()))


def _predict(package: ModelPackage, tensors: Tensors) -> Array:
    answer: Array = package.load().run(list(package.manifest.outputs), tensors)[0]
    return answer


def _time(package: ModelPackage, candidate: ModelPackage, tensors: Tensors, batch: int) -> list[float]:
    return time_interleaved([package, candidate], {name: value[:batch] for name, value in tensors.items()})


def choose(comparison: Comparison, tolerance: float) -> tuple[str, str]:
    """Decides between the two forms.

    Args:
        comparison: What was measured.
        tolerance: By how much INT8 may be worse: in nats of log loss, or as a share of the RMSE.

    Returns:
        `int8` or `fp32`, and why: INT8 must be no slower at any batch size, faster at one, and no worse.
    """
    ratios = {batch: comparison.speed_up(batch) for batch in comparison.float_seconds}
    speeds = ", ".join(f"{ratio:.2f} times as fast at batch {batch}" for batch, ratio in ratios.items())
    metric = comparison.int8_quality.metric.replace("_", " ").replace("rmse", "RMSE")
    worse, unit = comparison.int8_quality.excess(comparison.float_quality), comparison.int8_quality.unit
    if not worse <= tolerance:
        return "fp32", f"INT8's {metric} is {worse:.4f} {unit} higher, {tolerance:g} is allowed (it is {speeds})."
    if min(ratios.values()) < 1 or max(ratios.values()) < WORTH_IT:
        return "fp32", f"INT8 does not pay here: it is {speeds}; its {metric} differs by {worse:+.5f} {unit}."
    return "int8", f"INT8 is {speeds}, and its {metric} differs by only {worse:+.5f} {unit}."

"""Float against INT8: which is faster, which is better, which is kept."""

from dataclasses import dataclass

from fairlead.optimization.packaging import Tensors
from fairlead.optimization.timing import time_interleaved
from fairlead.training.tabular import Floats, log_loss
from fairlead_serving.package import MODEL, ModelPackage

BATCHES = (1, 64)
WORTH_IT = 1.05  # a speed-up below is within the noise of timing


@dataclass(frozen=True)
class Comparison:
    """The two forms side by side.

    Attributes:
        float_seconds: Median seconds of a prediction by batch size.
        int8_seconds: The same for INT8.
        float_log_loss: On the sample, in nats.
        int8_log_loss: The same for INT8.
        largest_difference: Between their probabilities, on the sample.
        float_bytes: Size of model.onnx.
        int8_bytes: The same for INT8.
    """

    float_seconds: dict[int, float]
    int8_seconds: dict[int, float]
    float_log_loss: float
    int8_log_loss: float
    largest_difference: float
    float_bytes: int
    int8_bytes: int

    def speed_up(self, batch: int) -> float:
        """How many times faster INT8 is at a batch size."""
        return self.float_seconds[batch] / self.int8_seconds[batch]


def compare(package: ModelPackage, candidate: ModelPackage, tensors: Tensors, truth: Floats) -> Comparison:
    """Measures both forms: seconds at each of `BATCHES`, log loss, size.

    Args:
        package: The float form.
        candidate: The INT8 form.
        tensors: Encoded real rows.
        truth: Their labels, float32 (N,).

    Returns:
        The comparison.
    """
    ours, theirs = _predict(package, tensors), _predict(candidate, tensors)
    seconds = {batch: _time(package, candidate, tensors, batch) for batch in BATCHES}
    return Comparison(
        float_seconds={batch: pair[0] for batch, pair in seconds.items()},
        int8_seconds={batch: pair[1] for batch, pair in seconds.items()},
        float_log_loss=log_loss(truth, ours),
        int8_log_loss=log_loss(truth, theirs),
        largest_difference=float(abs(ours - theirs).max()),
        float_bytes=(package.path / MODEL).stat().st_size,
        int8_bytes=(candidate.path / MODEL).stat().st_size,
    )


def _predict(package: ModelPackage, tensors: Tensors) -> Floats:
    probability: Floats = package.load().run(["probability"], tensors)[0]
    return probability


def _time(package: ModelPackage, candidate: ModelPackage, tensors: Tensors, batch: int) -> list[float]:
    return time_interleaved([package, candidate], {name: value[:batch] for name, value in tensors.items()})


def choose(comparison: Comparison, tolerance: float) -> tuple[str, str]:
    """Decides between the two forms.

    Args:
        comparison: What was measured.
        tolerance: By how much INT8's log loss may be higher, in nats.

    Returns:
        `int8` or `fp32`, and why: INT8 must be no slower at any batch size, faster at one, and no worse.
    """
    ratios = {batch: comparison.speed_up(batch) for batch in comparison.float_seconds}
    speeds = ", ".join(f"{ratio:.2f} times as fast at batch {batch}" for batch, ratio in ratios.items())
    worse = comparison.int8_log_loss - comparison.float_log_loss
    if not worse <= tolerance:
        return "fp32", f"INT8's log loss is {worse:.4f} nats higher, {tolerance:g} is allowed (it is {speeds})."
    if min(ratios.values()) < 1 or max(ratios.values()) < WORTH_IT:
        return "fp32", f"INT8 does not pay here: it is {speeds}; its log loss differs by {worse:+.5f} nats."
    return "int8", f"INT8 is {speeds}, and its log loss differs by only {worse:+.5f} nats."

"""What a task answers: which outputs there are, how they are decided, counted and described.

binary       probability (N,), and the label: true or false
multiclass   probability (N, K), and the label: the likeliest class
regression   prediction (N,)
ranking      score (N,)
"""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from fairlead_serving.metrics import TWENTIETHS
from fairlead_serving.package import Manifest, ModelPackage

REFERENCE = "fairlead/reference.parquet"
ANY_NUMBER = (-1e6, -1e5, -1e4, -1e3, -100.0, -10.0, -1.0, 0.0, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6)
logger = logging.getLogger(__name__)


class Answers:
    """The answers of one model.

    Args:
        manifest: Its package's manifest.

    Attributes:
        names: The outputs in order, the label's decision last where there is one.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest, self.output = manifest, manifest.outputs[0]
        self.decides = manifest.task in ("binary", "multiclass")
        self.names = (*manifest.outputs, *((manifest.label,) if self.decides else ()))
        self._classes = np.array(manifest.classes, dtype=object)

    def shape(self, rows: int) -> tuple[int, ...]:
        """The shape that the model's output must have."""
        return (rows, len(self._classes)) if self.manifest.task == "multiclass" else (rows,)

    def decide(self, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Adds the decision: bool (N,), or the class of each row as text (N,)."""
        if self.manifest.task == "binary":
            return {**outputs, self.manifest.label: outputs[self.output] >= self.manifest.threshold}
        if self.manifest.task == "multiclass":
            return {**outputs, self.manifest.label: self._classes[outputs[self.output].argmax(axis=1)]}
        return dict(outputs)

    def observed(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the histogram of predictions counts: the answer, or of classes the highest probability."""
        values = outputs[self.output]
        return values.max(axis=1) if values.ndim > 1 else values

    def describe(self) -> list[dict[str, Any]]:
        """The outputs, as V2 model metadata."""
        shape = [-1, *self.shape(1)[1:]]
        outputs = [{"name": name, "datatype": "FP32", "shape": shape} for name in self.manifest.outputs]
        if not self.decides:
            return outputs
        datatype = "BOOL" if self.manifest.task == "binary" else "BYTES"
        return [*outputs, {"name": self.manifest.label, "datatype": datatype, "shape": [-1]}]


def prediction_buckets(package: ModelPackage) -> tuple[float, ...]:
    """The buckets of the histogram of predictions.

    Returns:
        Twentieths for probabilities; else the twentieths of what the model predicts for its reference sample, so that
        a drift shows whatever the unit; powers of ten where the package has no such sample.
    """
    if package.manifest.task in ("binary", "multiclass"):
        return TWENTIETHS
    import pyarrow as pa
    import pyarrow.parquet as pq

    output = package.manifest.outputs[0]
    try:
        values = pq.read_table(package.path / REFERENCE, columns=[output])[output].to_numpy()
    except (OSError, KeyError, pa.ArrowException):
        logger.warning("predictions are counted in powers of ten: no %r in %s/%s", output, package.path, REFERENCE)
        return ANY_NUMBER
    edges = np.unique(np.quantile(values.astype(np.float64), np.linspace(0.0, 1.0, 21)))
    return tuple(float(f"{edge:.6g}") for edge in edges) if np.isfinite(edges).all() and len(edges) > 1 else ANY_NUMBER

"""Static INT8 quantization of an ONNX graph, as measured to pay most on CPUs with VNNI.

QDQ format, activations in QUInt8, weights in QInt8 per channel. Of tables only the matrix products are quantized: the
cheap operations around them handle raw inputs, whose missing values are NaN and have no range. Of images also what lies
between the convolutions, so that ONNX Runtime stays in INT8 from one to the next.
"""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.optimization.packaging import Tensors

if TYPE_CHECKING:
    import onnx

CALIBRATION_BATCH = 128
PRODUCTS = ["MatMul", "Gemm", "Conv"]
BETWEEN = ["Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Add", "Concat", "Flatten", "Reshape"]


class _Reader:
    """Feeds calibration rows to ONNX Runtime, batch by batch."""

    def __init__(self, tensors: Tensors) -> None:
        self._batches = _cut(tensors)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)


def _cut(tensors: Tensors) -> Iterator[Tensors]:
    count = len(next(iter(tensors.values())))
    for start in range(0, count, CALIBRATION_BATCH):
        yield {name: value[start : start + CALIBRATION_BATCH] for name, value in tensors.items()}


def can_quantize(model: Path) -> bool:
    """Whether a graph has anything that INT8 makes faster."""
    import onnx

    return any(node.op_type in PRODUCTS for node in onnx.load(str(model), load_external_data=False).graph.node)


def quantize(model: Path, calibration: Tensors, *, whole: bool = False) -> "onnx.ModelProto":
    """Quantizes a graph.

    Args:
        model: The float graph's file.
        calibration: Tensors of real rows; they fix the ranges of activations.
        whole: Also what lies between the products; for images.

    Returns:
        The INT8 graph with the same inputs and outputs.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    CalibrationDataReader.register(_Reader)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        # symbolic shapes would cost an import of torch and sympy, 2 s of 3; without them comes the same graph
        quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantized),
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*PRODUCTS, *BETWEEN] if whole else PRODUCTS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(str(quantized))


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantizer warns and logs about every step that was just taken on purpose."""
    import logging

    logger, before = logging.getLogger(), logging.getLogger().level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)

"""Makes the demo's third model: as right as the second, but slow, as if a debugging head had been left in its graph.

No offline gate can see it: the predictions are the same to the last bit. Only the canary can.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from fairlead import atomic
from fairlead_serving.package import MODEL

WIDTH = 1200  # some 7 GFLOP a prediction


def slow_copy(package: Path, destination: Path, width: int = WIDTH) -> None:
    """Copies a model package and adds work to its graph whose result is multiplied by zero.

    Args:
        package: The package to copy; its graph has the input `categorical` and the output `probability`.
        destination: The package to make.
        width: Of the square matrices that are multiplied twice a prediction.
    """
    import onnx

    with atomic.directory(destination) as folder:
        shutil.copytree(package, folder, dirs_exist_ok=True)
        model = onnx.load(folder / MODEL)
        _add_useless_work(model, width)
        onnx.checker.check_model(model)
        onnx.save(model, folder / MODEL)


def _add_useless_work(model: Any, width: int) -> None:
    """Adds 0 · mean(A · W · A) to the probability; A depends on the input, so that no optimiser folds it away."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    for node in graph.node:
        node.output[:] = ["plain_probability" if name == "probability" else name for name in node.output]
    weights = np.random.default_rng(0).normal(size=(width, width)).astype(np.float32) / width
    graph.initializer.extend([
        numpy_helper.from_array(weights, "debug_weights"),
        numpy_helper.from_array(np.zeros((), np.float32), "debug_zero"),
    ])  # fmt: skip
    graph.node.extend([
        helper.make_node("Cast", ["categorical"], ["debug_codes"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["debug_codes"], ["debug_mean"], keepdims=0),
        helper.make_node("Add", ["debug_weights", "debug_mean"], ["debug_a"]),
        helper.make_node("MatMul", ["debug_a", "debug_weights"], ["debug_b"]),
        helper.make_node("MatMul", ["debug_b", "debug_a"], ["debug_c"]),
        helper.make_node("ReduceMean", ["debug_c"], ["debug_d"], keepdims=0),
        helper.make_node("Mul", ["debug_d", "debug_zero"], ["debug_e"]),
        helper.make_node("Add", ["plain_probability", "debug_e"], ["probability"]),
    ])  # fmt: skip

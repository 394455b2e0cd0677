"""Puts a calibration into a model's ONNX graph, so that what is evaluated is what is served.

The output keeps its name, shape and type; what produced it gets another name, and float64 nodes lie between.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.errors import PackageError
from fairlead.evaluation.metrics import CERTAIN
from fairlead.optimization.calibration import Calibration, Isotonic, Temperature

if TYPE_CHECKING:
    import onnx

OUTPUT = "probability"
OPSET = 13  # the lowest that has all nodes in the form used here


def add_calibration(model: "onnx.ModelProto", calibration: Calibration) -> "onnx.ModelProto":
    """Returns a model whose probabilities are calibrated.

    Args:
        model: A model with the output `probability`, (N,) or (N, K) float32; it is not changed.
        calibration: What to add.

    Returns:
        The new model, checked.

    Raises:
        PackageError: The model has no such output, or its operators are too old.
    """
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    (output,) = [value for value in graph.output if value.name == OUTPUT] or [None]
    versions = {entry.domain: entry.version for entry in made.opset_import}
    if output is None or versions.get("", 0) < OPSET:
        raise PackageError(
            f"the model's graph has outputs {[value.name for value in graph.output]} and operators of version "
            f"{versions.get('', 0)}; calibration needs the output {OUTPUT!r} and version {OPSET}: export it again"
        )
    prefix = _free_prefix(graph)
    raw = f"{prefix}raw"
    _rename(graph, raw)
    classes = len(output.type.tensor_type.shape.dim) > 1
    builder = _Builder(graph, prefix)
    if isinstance(calibration, Temperature):
        builder.temperature(raw, calibration, classes=classes)
    else:
        builder.isotonic(raw, calibration)
    onnx.checker.check_model(made, full_check=True)
    return made


def _free_prefix(graph: Any) -> str:
    """A prefix that no name of the graph begins with: a model may be calibrated twice."""
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    count = 0
    while any(name.startswith(f"calibration_{count}_") for name in names):
        count += 1
    return f"calibration_{count}_"


def _rename(graph: Any, raw: str) -> None:
    """Gives the tensor that was the output another name, wherever it stands."""
    for node in graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                if name == OUTPUT:
                    names[at] = raw
    for value in graph.value_info:
        if value.name == OUTPUT:
            value.name = raw


class _Builder:
    """Adds nodes to a graph, under names of its own."""

    def __init__(self, graph: Any, prefix: str) -> None:
        self.graph = graph
        self.prefix = prefix
        self.count = 0

    def constant(self, value: Any, kind: Any = np.float64) -> str:
        """Adds an initializer and returns its name."""
        from onnx import numpy_helper

        name = self._name()
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype=kind), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Adds a node and returns its output's name."""
        from onnx import helper

        own = self._name()
        self.graph.node.append(helper.make_node(operator, inputs, [output or own], name=f"{own}_node", **attributes))
        return output or own

    def _name(self) -> str:
        self.count += 1
        return f"{self.prefix}{self.count}"

    def cast(self, name: str, *, to_double: bool) -> str:
        """Adds a cast; the one back to float32 ends in the output."""
        from onnx import TensorProto

        if to_double:
            return self.node("Cast", [name], to=TensorProto.DOUBLE)
        return self.node("Cast", [name], OUTPUT, to=TensorProto.FLOAT)

    def temperature(self, raw: str, calibration: Temperature, *, classes: bool) -> None:
        """Adds a division of log odds."""
        sure = self.node("Clip", [self.cast(raw, to_double=True), self.constant(CERTAIN), self.constant(1 - CERTAIN)])
        power = self.constant(1 / calibration.temperature)
        if classes:
            logits = self.node("Mul", [self.node("Log", [sure]), power])
            self.cast(self.node("Softmax", [logits], axis=1), to_double=False)
            return
        other = self.node("Log", [self.node("Sub", [self.constant(1.0), sure])])
        logits = self.node("Mul", [self.node("Sub", [self.node("Log", [sure]), other]), power])
        self.cast(self.node("Sigmoid", [logits]), to_double=False)

    def isotonic(self, raw: str, calibration: Isotonic) -> None:
        """Adds the curve as a sum of ramps: each rises by its slope over its stretch, and none falls."""
        widths = np.diff(calibration.x)
        slopes = np.diff(calibration.y) / widths
        axis = self.constant([1], np.int64)
        column = self.node("Unsqueeze", [self.cast(raw, to_double=True), axis])  # (N, 1)
        past = self.node("Sub", [column, self.constant(calibration.x[:-1])])  # (N, ramps)
        inside = self.node("Min", [self.node("Max", [past, self.constant(0.0)]), self.constant(widths)])
        risen = self.node("MatMul", [inside, self.constant(slopes[:, None])])  # (N, 1)
        level = self.node("Add", [self.node("Squeeze", [risen, axis]), self.constant(calibration.y[0])])
        ends = self.constant(calibration.y[0]), self.constant(calibration.y[-1])
        self.cast(self.node("Clip", [level, *ends]), to_double=False)

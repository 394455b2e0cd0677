"""Linear model packages of every task, for rows and for pictures, made by hand with onnx: no training, milliseconds.

Use::

    from linear_models import linear_package
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

OUTPUTS = {"binary": "probability", "multiclass": "probability", "regression": "prediction", "ranking": "score"}


def linear_package(
    path: Path | str,
    weights: Any,
    bias: Any = 0.0,
    *,
    task: str = "binary",
    label: str = "label",
    numeric: Sequence[str] = (),
    image: tuple[int, int, int] | None = None,
    classes: Sequence[str] = (),
    threshold: float = 0.5,
    name: str = "linear",
) -> Path:
    """Writes a package whose answer is a linear function of its inputs (missing numbers count as 0).

    Args:
        path: The folder to make.
        weights: (F,) or, for several classes, (F, K): of the numeric inputs, or of the pixels as shares of white, row
            by row and channel by channel.
        bias: A number, or (K,).
        task: binary (a sigmoid follows), multiclass (a softmax), regression or ranking.
        label: The label's column.
        numeric: The numeric inputs' names.
        image: Instead of them, one picture `image` of this height, width and number of channels.
        classes: Of a multiclass model.
        threshold: Of a binary model.
        name: The model's.

    Returns:
        The folder.
    """
    root = Path(path)
    (root / "fairlead").mkdir(parents=True)
    inputs: list[dict[str, Any]] = [{"name": column, "kind": "numeric"} for column in numeric]
    if image is not None:
        inputs = [{"name": "image", "kind": "image", "shape": list(image)}]
    manifest: dict[str, Any] = {
        "format": 1, "name": name, "task": task, "label": label, "inputs": inputs, "threshold": threshold,
        "outputs": [OUTPUTS[task]], "request": None, **({"classes": list(classes)} if classes else {}),
    }  # fmt: skip
    (root / "fairlead" / "package.json").write_text(json.dumps(manifest))
    matrix = np.asarray(weights, dtype=np.float32).reshape(-1, max(len(classes), 1))
    (root / "model.onnx").write_bytes(_graph(task, matrix, np.asarray(bias, dtype=np.float32), image))
    return root


def _graph(task: str, weights: Any, bias: Any, image: tuple[int, int, int] | None) -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    features, count = weights.shape
    constants = {
        "weights": weights, "bias": np.broadcast_to(bias, count).copy(), "zero": np.array(0, np.float32),
        "white": np.array(255, np.float32), "flat": np.array([-1, features], np.int64), "last": np.array([1], np.int64),
    }  # fmt: skip
    if image is None:
        given = helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["N", features])
        nodes = [
            helper.make_node("IsNaN", ["numeric"], ["absent"]),
            helper.make_node("Where", ["absent", "zero", "numeric"], ["features"]),
        ]
    else:
        given = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", *image])
        nodes = [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["pixels", "white"], ["shares"]),
            helper.make_node("Reshape", ["shares", "flat"], ["features"]),
        ]
    nodes += [helper.make_node("MatMul", ["features", "weights"], ["product"])]
    nodes += [helper.make_node("Add", ["product", "bias"], ["sum"])]
    shape: list[Any] = ["N", count] if task == "multiclass" else ["N"]
    last = {"binary": ["Sigmoid", "Squeeze"], "multiclass": ["Softmax"]}.get(task, ["Squeeze"])
    taken = "sum"
    for step in last:
        made = OUTPUTS[task] if step == last[-1] else "activated"
        nodes.append(helper.make_node(step, [taken, "last"] if step == "Squeeze" else [taken], [made]))
        taken = made
    output = helper.make_tensor_value_info(OUTPUTS[task], TensorProto.FLOAT, shape)
    used = {name for node in nodes for name in node.input}
    initializers = [numpy_helper.from_array(value, key) for key, value in constants.items() if key in used]
    graph = helper.make_graph(nodes, "linear", [given], [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())

"""Small valid packages for the tasks beside yes/no, made by hand with onnx, and rows that they are the truth of.

    rows = task_rows("multiclass", 2000)                    # x0, x1, x2, label (and query, item for a ranking)
    package = task_package(tmp_path / "p", "multiclass")    # predicts `label`
    rows, package = picture_rows(200), picture_package(tmp_path / "p")

`models.tiny_package` is the same for yes/no.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from fairlead_serving.images import write_png
from fairlead_serving.package import OUTPUTS, Manifest, ModelInput

CLASSES = ("bird", "cat", "dog")
WEIGHTS = np.array([[1.5, -0.5, -1.0], [0.2, 1.4, -1.6], [-1.2, 0.3, 0.9]])  # of the classes: (inputs, K)
LINE = np.array([2.0, -1.0, 0.5])  # of a number or a score: (inputs,)
NOISE = 0.7
SIDE = 8  # pixels of a picture
PER_GROUP = 8


def task_rows(task: str, count: int, seed: int = 0) -> dict[str, Any]:
    """Draws rows of which `task_package(…, task)` is the truth.

    Returns:
        Columns by name: x0, x1, x2 float64 and label; for a ranking also query (`PER_GROUP` rows each) and item.
    """
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, len(LINE)))
    rows: dict[str, Any] = {f"x{at}": inputs[:, at] for at in range(len(LINE))}
    if task == "multiclass":
        shares = _softmax(inputs @ WEIGHTS)
        drawn = (shares.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
        return {**rows, "label": np.array(CLASSES)[np.minimum(drawn, len(CLASSES) - 1)]}
    value = inputs @ LINE + rng.normal(size=count) * NOISE
    if task == "regression":
        return {**rows, "label": value}
    relevance = np.clip(np.round(value), 0, 3)
    query = np.array([f"q{at // PER_GROUP}" for at in range(count)])
    return {**rows, "label": relevance, "query": query, "item": rng.integers(0, 20, count)}


def task_package(path: Path | str, task: str, *, scale: float = 1.0, label: str = "label") -> Path:
    """Writes a package of three numeric inputs; `scale` other than 1 makes it wrong about how sure it is."""
    from onnx import TensorProto, helper, numpy_helper

    weights = WEIGHTS if task == "multiclass" else LINE[:, None]
    output = OUTPUTS[task]
    nodes = [helper.make_node("MatMul", ["numeric", "weights"], ["logits"])]
    constants = [numpy_helper.from_array((weights * scale).astype(np.float32), "weights")]
    shape: list[Any] = ["N"]
    if task == "multiclass":
        nodes.append(helper.make_node("Softmax", ["logits"], [output], axis=1))
        shape.append(len(CLASSES))
    else:
        constants.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
        nodes.append(helper.make_node("Squeeze", ["logits", "axis"], [output]))
    taken = [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["N", len(LINE)])]
    inputs = tuple(ModelInput(f"x{at}", "numeric") for at in range(len(LINE)))
    classes = CLASSES if task == "multiclass" else ()
    manifest = Manifest("tiny", task, label, inputs, outputs=(output,), classes=classes)
    example = {"numeric": np.zeros((2, len(LINE)), np.float32)}
    return _write(Path(path), nodes, taken, constants, shape, manifest, example, task_rows(task, 50, 9))


def picture_rows(count: int, seed: int = 0, side: int = SIDE) -> dict[str, Any]:
    """Draws PNG pictures, brighter at the left or at the right, with the label that says where; some are unclear.

    Returns:
        Columns `picture` (bytes) and `label` ("left" or "right").
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, count)
    ramp = np.linspace(-1, 1, side)[None, :] * np.ones((side, 1))
    strength = rng.uniform(-0.2, 1.0, count)
    pictures = [
        np.clip(128 + 90 * strength[at] * ramp * (1 if truth[at] else -1) + rng.normal(0, 25, (side, side)), 0, 255)
        for at in range(count)
    ]
    files = [write_png(picture.astype(np.uint8)) for picture in pictures]
    return {"picture": files, "label": np.array(["left", "right"])[truth]}


def picture_package(path: Path | str, side: int = SIDE) -> Path:
    """Writes a package of one grey picture, which it judges by where the light is."""
    from onnx import TensorProto, helper, numpy_helper

    ramp = (np.linspace(-1, 1, side)[None, :] * np.ones((side, 1))).reshape(-1, 1) / (side * side * 6)
    constants = [
        numpy_helper.from_array(np.concatenate([-ramp, ramp], axis=1).astype(np.float32), "weights"),
        numpy_helper.from_array(np.array([-1, side * side], np.int64), "flat"),
    ]
    nodes = [
        helper.make_node("Cast", ["picture"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["real", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probability"], axis=1),
    ]
    taken = [helper.make_tensor_value_info("picture", TensorProto.UINT8, ["N", side, side, 1])]
    inputs = (ModelInput("picture", "image", shape=(side, side, 1)),)
    manifest = Manifest("pictures", "multiclass", "label", inputs, classes=("left", "right"))
    example = {"picture": np.zeros((2, side, side, 1), np.uint8)}
    return _write(Path(path), nodes, taken, constants, ["N", 2], manifest, example, picture_rows(20, 9, side))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _write(
    path: Path,
    nodes: list[Any],
    taken: list[Any],
    constants: list[Any],
    shape: list[Any],
    manifest: Manifest,
    example: dict[str, np.ndarray],
    reference: dict[str, Any],
) -> Path:
    """A package with a reference sample, lineage and a minimal MLmodel."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from onnx import TensorProto, checker, helper

    (path / "fairlead").mkdir(parents=True)
    given = [helper.make_tensor_value_info(manifest.outputs[0], TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "tiny", taken, given, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    (path / "model.onnx").write_bytes(model.SerializeToString())
    (path / "MLmodel").write_text("flavors: {onnx: {data: model.onnx}}\n")
    (path / "input_example.json").write_text(json.dumps({name: value.tolist() for name, value in example.items()}))
    (path / "fairlead" / "package.json").write_text(json.dumps(manifest.to_json(), sort_keys=True))
    (path / "fairlead" / "lineage.json").write_text(json.dumps({"recipe": "tiny"}))
    columns = {name: reference[name] for name in (*(i.name for i in manifest.inputs), manifest.label)}
    pq.write_table(pa.table(columns), path / "fairlead" / "reference.parquet")
    return path

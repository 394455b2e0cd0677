"""Small valid model packages for tests, made by hand with onnx: no torch, no training, milliseconds.

`tiny_package(path)` writes a package whose model is a logistic regression; `tiny_rows(count)` draws rows whose labels
follow the default model exactly, so that the default package is well calibrated on them. Use::

    from models import tiny_package, tiny_rows
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

NUMERIC: dict[str, float] = {"hour": 1.2, "distance": -0.6}
"""Numeric inputs and their weights; hour and distance are standard normal in `tiny_rows`."""

CATEGORICAL: dict[str, dict[str, float]] = {
    "carrier": {"AA": 0.8, "DL": -0.8, "UA": 0.1},
    "origin": {"EWR": 0.3, "JFK": -0.3, "LGA": 0.0},
}
"""Categorical inputs with each value's weight; the missing and the unknown value weigh nothing."""

BIAS = -0.7


def tiny_rows(
    count: int,
    seed: int = 0,
    *,
    label: str = "late",
    numeric: Mapping[str, float] = NUMERIC,
    categorical: Mapping[str, Mapping[str, float]] = CATEGORICAL,
    bias: float = BIAS,
) -> dict[str, np.ndarray[Any, Any]]:
    """Draws `count` rows whose label is drawn with the probability that the same-named `tiny_package` predicts.

    Returns:
        Columns by name: numeric ones float64 (count,), categorical ones str (count,), the label int64 (count,) of 0/1.
    """
    rng = np.random.default_rng(seed)
    logit = np.full(count, bias)
    rows: dict[str, np.ndarray[Any, Any]] = {}
    for name, weight in numeric.items():
        rows[name] = rng.normal(size=count)
        logit += weight * rows[name]
    for name, weights in categorical.items():
        chosen = rng.integers(len(weights), size=count)
        rows[name] = np.array(list(weights))[chosen]
        logit += np.array(list(weights.values()))[chosen]
    rows[label] = (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    return rows


def tiny_package(
    path: Path | str,
    *,
    name: str = "tiny",
    label: str = "late",
    numeric: Mapping[str, float] = NUMERIC,
    categorical: Mapping[str, Mapping[str, float]] = CATEGORICAL,
    bias: float = BIAS,
    threshold: float = 0.5,
    request: Mapping[str, Any] | None = None,
    checks: Mapping[str, Any] | None = None,
    lineage: Mapping[str, Any] | None = None,
    reference_rows: int = 50,
) -> Path:
    """Writes a valid tabular model package; the same arguments give the same digest, other weights another one.

    Args:
        path: the directory to make (its parents too).
        name: the model's name in package.json.
        label: the label column.
        numeric: numeric inputs and their weights (order is manifest order); missing values count as 0.
        categorical: categorical inputs, each with its vocabulary's weights.
        bias: added to the logit: a shift makes a miscalibrated, "broken" model.
        threshold: the package's decision threshold.
        request: the package's request specification, as in package.json.
        checks: what it declares of the values of fields.
        lineage: what lineage.json says.
        reference_rows: rows in reference.parquet.

    Returns:
        The directory.
    """
    root = Path(path)
    (root / "fairlead").mkdir(parents=True, exist_ok=True)
    (root / "model.onnx").write_bytes(_graph(numeric, categorical, bias))
    inputs: list[dict[str, Any]] = [
        {"name": column, "kind": "categorical", "vocabulary": list(weights)} for column, weights in categorical.items()
    ]
    inputs += [{"name": column, "kind": "numeric"} for column in numeric]
    manifest = {
        "format": 1,
        "name": name,
        "task": "binary",
        "label": label,
        "inputs": inputs,
        "threshold": threshold,
        "outputs": ["probability"],
        "request": None if request is None else dict(request),
    }
    if checks:
        manifest["checks"] = dict(checks)
    _write_json(root / "fairlead" / "package.json", manifest)
    _write_json(root / "fairlead" / "lineage.json", dict(lineage or {"recipe": "tiny"}))
    rows = tiny_rows(reference_rows, label=label, numeric=numeric, categorical=categorical, bias=bias)
    _write_reference(root / "fairlead" / "reference.parquet", rows, categorical, label)
    _write_flavour(root, len(numeric), len(categorical))
    return root


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def _graph(numeric: Mapping[str, float], categorical: Mapping[str, Mapping[str, float]], bias: float) -> bytes:
    """The ONNX graph: `numeric` (N, F) and `categorical` (N, C) in, `probability` (N,) out."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants: dict[str, np.ndarray[Any, Any]] = {
        "bias": np.array([bias], np.float32),
        "axis": np.array([1], np.int64),
    }
    nodes, inputs, terms = [], [], ["bias"]
    if numeric:
        constants["zero"] = np.array(0, np.float32)
        constants["weights"] = np.array(list(numeric.values()), np.float32)[:, None]
        inputs.append(helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["N", len(numeric)]))
        nodes += [
            helper.make_node("IsNaN", ["numeric"], ["absent"]),
            helper.make_node("Where", ["absent", "zero", "numeric"], ["imputed"]),
            helper.make_node("MatMul", ["imputed", "weights"], ["numeric_logit"]),
        ]
        terms.append("numeric_logit")
    if categorical:
        inputs.append(helper.make_tensor_value_info("categorical", TensorProto.INT64, ["N", len(categorical)]))
    for index, weights in enumerate(categorical.values()):
        constants[f"table_{index}"] = np.array([0.0, 0.0, *weights.values()], np.float32)[:, None]
        constants[f"column_{index}"] = np.array(index, np.int64)
        nodes += [
            helper.make_node("Gather", ["categorical", f"column_{index}"], [f"code_{index}"], axis=1),
            helper.make_node("Gather", [f"table_{index}", f"code_{index}"], [f"logit_{index}"], axis=0),
        ]
        terms.append(f"logit_{index}")
    nodes += [
        helper.make_node("Sum", terms, ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["probability"]),
    ]
    outputs = [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"])]
    initializers = [numpy_helper.from_array(value, key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _write_reference(
    path: Path,
    rows: Mapping[str, np.ndarray[Any, Any]],
    categorical: Sequence[str] | Mapping[str, Any],
    label: str,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {key: pa.array(values.astype(str) if key in categorical else values) for key, values in rows.items()}
    probability = np.full(len(rows[label]), 0.5, np.float32)
    pq.write_table(pa.table({**columns, "probability": probability}), path)


def _write_flavour(root: Path, numeric: int, categorical: int) -> None:
    """The MLflow ONNX flavour; its fields are those that mlflow.onnx writes, with nothing that changes between runs."""
    tensors: list[dict[str, Any]] = [
        {"name": name, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, size]}}
        for name, dtype, size in (("numeric", "float32", numeric), ("categorical", "int64", categorical))
        if size
    ]
    output = {"name": "probability", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1]}}
    flavour = {
        "flavors": {
            "onnx": {
                "code": None,
                "data": "model.onnx",
                "onnx_version": "1.23.2",
                "providers": ["CPUExecutionProvider"],
                "options": None,
            },
            "python_function": {"loader_module": "mlflow.onnx", "data": "model.onnx", "python_version": "3.11.0"},
        },
        "mlflow_version": "3.17.2",
        "model_uuid": uuid.uuid5(uuid.NAMESPACE_OID, "fairlead-tiny").hex,
        "utc_time_created": "2013-01-01 00:00:00.000000",
        "signature": {"inputs": json.dumps(tensors), "outputs": json.dumps([output]), "params": None},
    }
    (root / "MLmodel").write_text(yaml.safe_dump(flavour, sort_keys=True))
    (root / "requirements.txt").write_text("onnxruntime==1.31.1\n")
    example = {tensor["name"]: [[0] * tensor["tensor-spec"]["shape"][1]] for tensor in tensors}
    _write_json(root / "input_example.json", example)

"""Writes MLflow's own files of an ONNX model: MLmodel, its environment, its input example.

They are written here and not by `mlflow.onnx.save_model`, which imports all of MLflow and infers an environment: 1.5 to
2 s in a step of 4. The format is documented (https://mlflow.org/docs/latest/ml/model/) and the tests read what comes
out with `mlflow.onnx.load_model`. Nothing here depends on when or where it was written.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import atomic
from fairlead_serving.package import MODEL, Manifest

if TYPE_CHECKING:
    import onnx

REQUIREMENTS = ("mlflow-skinny", "onnx", "onnxruntime")
_EXAMPLE, _SERVING_EXAMPLE = "input_example.json", "serving_input_example.json"
_NO_TIME = "1970-01-01 00:00:00"  # MLflow wants a time; the real one is in the registry, a constant keeps the digest

Tensors = Mapping[str, np.ndarray[Any, Any]]


def write_mlflow_model(folder: Path, graph: "onnx.ModelProto", example: Tensors, manifest: Manifest) -> None:
    """Fills a folder with an MLflow model of the ONNX flavour.

    Args:
        folder: It exists.
        graph: The ONNX graph; its weights go into the same file.
        example: Tensors of the graph's inputs, a few rows.
        manifest: What the model is.
    """
    content = graph.SerializeToString(deterministic=True)
    atomic.write_bytes(folder / MODEL, content)
    rows = {name: value.tolist() for name, value in example.items()}
    atomic.write_json(folder / _EXAMPLE, rows)
    atomic.write_json(folder / _SERVING_EXAMPLE, {"inputs": rows})
    _write_environment(folder)
    _write_yaml(folder / "MLmodel", _describe(content, example, manifest))


def _describe(content: bytes, example: Tensors, manifest: Manifest) -> dict[str, Any]:
    answer = (len(manifest.classes),) if manifest.task == "multiclass" else ()
    environment = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    return {
        "flavors": {
            "onnx": {"data": MODEL, "onnx_version": version("onnx"), "providers": ["CPUExecutionProvider"]},
            "python_function": {
                "data": MODEL,
                "env": environment,
                "loader_module": "mlflow.onnx",
                "python_version": platform.python_version(),
            },
        },
        "mlflow_version": version("mlflow-skinny"),
        "model_size_bytes": len(content),
        "model_uuid": hashlib.sha256(content).hexdigest()[:32],
        "saved_input_example_info": {
            "artifact_path": _EXAMPLE,
            "serving_input_path": _SERVING_EXAMPLE,
            "type": "ndarray",
        },
        "signature": {
            "inputs": json.dumps([_tensor(v.dtype, v.shape[1:], name) for name, v in example.items()]),
            "outputs": json.dumps([_tensor(np.dtype(np.float32), answer, name) for name in manifest.outputs]),
            "params": None,
        },
        "utc_time_created": _NO_TIME,
    }


def _tensor(kind: "np.dtype[Any]", shape: tuple[int, ...], name: str) -> dict[str, Any]:
    return {"name": name, "type": "tensor", "tensor-spec": {"dtype": kind.name, "shape": [-1, *shape]}}


def _write_environment(folder: Path) -> None:
    """Writes what MLflow installs to serve the model by itself: for pip, for virtualenv and for conda."""
    pins, python = [f"{name}=={version(name)}" for name in REQUIREMENTS], platform.python_version()
    atomic.write_text(folder / "requirements.txt", "\n".join(pins))
    build = ["pip", "setuptools", "wheel"]
    requirements = ["-r requirements.txt"]
    _write_yaml(
        folder / "python_env.yaml", {"python": python, "build_dependencies": build, "dependencies": requirements}
    )
    dependencies = [f"python={python}", "pip", {"pip": pins}]
    _write_yaml(
        folder / "conda.yaml", {"channels": ["conda-forge"], "dependencies": dependencies, "name": "mlflow-env"}
    )


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    import yaml

    atomic.write_text(path, yaml.safe_dump(dict(content), sort_keys=True))

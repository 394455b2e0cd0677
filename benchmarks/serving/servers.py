"""The servers of the comparison, each started as its documentation says, and what they are asked."""

import json
import os
import re
import struct
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from serving.targets import SERVER_CORE, Target, free_port, started  # type: ignore[import-not-found] # beside the script that is run

from fairlead_serving.package import ModelPackage, package_digest

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "serving-mlserver"
MLSERVER = ("mlserver==1.7.1", "onnxruntime==1.31.1")
GRPC_PATH = "/inference.GRPCInferenceService/ModelInfer"
GRPC_HEADERS = {"content-type": "application/grpc", "te": "trailers"}
JSON_HEADERS = {"content-type": "application/json"}
RAW_HEADERS = {"content-type": "application/octet-stream"}


def v2(name: str, values: Any, *, binary: bool) -> tuple[bytes, dict[str, str]]:
    """A V2 request of one tensor."""
    datatype = {"f": "FP32", "B": "UINT8"}[values.dtype.char]
    tensor: dict[str, Any] = {"name": name, "shape": list(values.shape), "datatype": datatype}
    if not binary:
        return json.dumps({"inputs": [{**tensor, "data": values.ravel().tolist()}]}).encode(), JSON_HEADERS
    raw = values.tobytes()
    asked = {"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}]}
    head = json.dumps({**asked, "parameters": {"binary_data_output": True}}).encode()
    return head + raw, {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}


def grpc_body(model: str, name: str, values: Any) -> bytes:
    """A gRPC message with its prefix."""
    request = pb.ModelInferRequest(model_name=model, raw_input_contents=[values.tobytes()])
    request.inputs.add(name=name, datatype="FP32", shape=values.shape)
    message = bytes(request.SerializeToString())
    return struct.pack(">BI", 0, len(message)) + message


def fairlead(stack: ExitStack, package: Path, folder: Path) -> tuple[str, int, int]:
    """Starts our server; gives its address, its gRPC port and its process."""
    port, grpc_port, name = free_port(), free_port(), package.name
    command = [
        sys.executable, "-m", "fairlead_serving", "--name", name, "--package", package, "--digest",
        package_digest(package), "--port", str(port), "--grpc-port", str(grpc_port), "--log-level", "WARNING",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    pid = stack.enter_context(started(command, f"{url}/v2/models/{name}/ready", folder))
    return url, grpc_port, pid


def fastapi(stack: ExitStack, package: Path, folder: Path) -> tuple[str, int]:
    """Starts the plain FastAPI server; gives its address and its process."""
    port = free_port()
    base, script = f"http://127.0.0.1:{port}", HERE / "plain_fastapi.py"
    return base, stack.enter_context(started([sys.executable, script, package, str(port)], f"{base}/docs", folder))


def make_models(folder: Path) -> None:
    """Makes the models that the folder lacks."""
    subprocess.run([sys.executable, HERE / "make_models.py", folder], check=True)


def mlserver(stack: ExitStack, package: Path, folder: Path) -> tuple[str, int, int] | str:
    """Starts MLServer from an environment of its own; gives its address, gRPC port and process, or why it cannot."""
    program = BUILD / "bin" / "mlserver"
    try:
        if not program.exists():
            subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", BUILD], check=True)
            install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", BUILD / "bin" / "python"]
            subprocess.run([*map(str, install), *MLSERVER], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"MLServer cannot be installed here: {error}"
    port, grpc_port, metrics_port = free_port(), free_port(), free_port()
    place = folder / "mlserver"
    place.mkdir()
    for name in ("mlserver_runtime.py", "session.py"):
        (place / name).write_text((HERE / name).read_text())
    settings = {"http_port": port, "grpc_port": grpc_port, "metrics_port": metrics_port, "parallel_workers": 0,
                "host": "127.0.0.1", "debug": False}  # fmt: skip
    (place / "settings.json").write_text(json.dumps(settings))
    model = {
        "name": package.name,
        "implementation": "mlserver_runtime.OnnxRuntime",
        "parameters": {"uri": str(package)},
    }
    (place / "model-settings.json").write_text(json.dumps(model))
    url = f"http://127.0.0.1:{port}"
    command = [BUILD / "bin" / "python", program, "start", place]
    pid = stack.enter_context(started(command, f"{url}/v2/models/{package.name}/ready", folder))
    return url, grpc_port, pid


def tabular_targets(stack: ExitStack, package: Path, folder: Path) -> tuple[list[Target], str]:
    """Starts all servers with the small model; gives what is asked of them, and what is to be said of them."""
    values = np.random.default_rng(1).normal(size=(1, 16)).astype(np.float32)
    name = package.name
    targets: list[Target] = []
    url, grpc_port, pid = fairlead(stack, package, folder)
    others: list[tuple[str, str, int, int]] = [("fairlead", url, grpc_port, pid)]
    port, grpc_port = free_port(), free_port()
    script = [sys.executable, HERE / "stock_kserve.py", package, str(port), str(grpc_port)]
    pid = stack.enter_context(started(script, f"http://127.0.0.1:{port}/v2/models/{name}/ready", folder))
    others.append(("kserve", f"http://127.0.0.1:{port}", grpc_port, pid))
    found = mlserver(stack, package, folder)
    others += [("MLServer", *found)] if not isinstance(found, str) else []
    for server, base, grpc, process in others:
        path = f"{base}/v2/models/{name}/infer"
        targets.append(Target(server, "JSON", path, *v2("numeric", values, binary=False), pid=process))
        if server != "MLServer":  # it does not take the binary extension
            targets.append(Target(server, "binary", path, *v2("numeric", values, binary=True), pid=process))
        message = grpc_body(name, "numeric", values)
        targets.append(Target(server, "gRPC", f"http://127.0.0.1:{grpc}{GRPC_PATH}", message, GRPC_HEADERS, process))
    base, pid = fastapi(stack, package, folder)
    body = json.dumps({"rows": values.tolist()}).encode()
    targets.append(Target("FastAPI", "JSON", f"{base}/predict", body, JSON_HEADERS, pid))
    targets.append(Target("FastAPI", "binary", f"{base}/predict-binary", values.tobytes(), RAW_HEADERS, pid))
    check_answers(targets, package, values)
    return targets, found if isinstance(found, str) else ""


def check_answers(targets: list[Target], package: Path, values: Any) -> None:
    """Asks each REST target once; every answer must hold what ONNX Runtime itself answers."""
    names = [item.name for item in ModelPackage.open(package).manifest.inputs]
    columns = {name: values[:, place] for place, name in enumerate(names)}
    wanted = float(ModelPackage.open(package).predict(columns)["probability"].ravel()[0])
    for target in targets:
        if target.protocol == "gRPC":
            continue  # h2load cannot show its answer; the tests of the server compare it
        answer = httpx.post(target.url, content=target.body, headers=target.headers, timeout=60)
        if "json" in answer.headers["content-type"]:  # stock kserve answers so whatever it was asked
            given = [float(number) for number in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", answer.text)]
        else:
            start = int(answer.headers.get("inference-header-content-length", 0))
            given = [struct.unpack_from("<f", answer.content, start)[0]]
        if not any(abs(number - wanted) < 1e-5 for number in given):
            raise RuntimeError(f"{target.server} {target.protocol} answers {answer.text[:300]}, not {wanted}")


def bare_rate(package: Path, seconds: float) -> float:
    """Predictions of one row a second, by ONNX Runtime alone on the server's core."""
    command = ["taskset", "-c", SERVER_CORE, sys.executable, HERE / "bare_runtime.py", package, str(seconds)]
    ended = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    return float(ended.stdout)

"""A small V2 server that shares no code with fairlead's, honest by default, and faulty in the ways that it is told.

python tiny_v2_server.py PACKAGE NAME PORT [FAULT …]
"""

import json
import math
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

PACKAGE, NAME, PORT, FAULTS = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), set(sys.argv[4:])
MANIFEST = json.loads((PACKAGE / "fairlead" / "package.json").read_text())
INPUTS = {entry["name"]: entry for entry in MANIFEST["inputs"]}
WORDS = {name: entry["vocabulary"] for name, entry in INPUTS.items() if entry["kind"] == "categorical"}
HELD: list[bytes] = []
LOADING_SECONDS = 1.0


class RefusedError(Exception):
    """A request that is answered with a status other than 200."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Model:
    """The ONNX graph behind the package's encoding."""

    def __init__(self) -> None:
        self.session: ort.InferenceSession | None = None

    def load(self) -> None:
        """Load; whoever asks before gets 503."""
        self.session = ort.InferenceSession(str(PACKAGE / "model.onnx"), providers=["CPUExecutionProvider"])

    def predict(self, columns: dict[str, list[Any]]) -> list[float]:
        """Predict N probabilities."""
        if self.session is None:
            raise RefusedError("the model is being loaded", 503)
        numbers = [[math.nan if v is None else v for v in columns[n]] for n in INPUTS if n not in WORDS]
        codes = [[code(words, value) for value in columns[name]] for name, words in WORDS.items()]
        tensors: dict[str, np.ndarray[Any, Any]] = {}
        tensors["numeric"], tensors["categorical"] = np.array(numbers, np.float32).T, np.array(codes, np.int64).T
        if "nan-crash" in FAULTS and np.isnan(tensors["numeric"]).any():
            raise ZeroDivisionError
        values = self.session.run(["probability"], tensors)[0].astype(float)
        if "wrong-output" in FAULTS:
            values = values * 0.9
        if "batch-dependent" in FAULTS and len(values) > 1:
            values = values - values.mean() + 0.5
        return [float(value) for value in values]


MODEL = Model()


class Handler(BaseHTTPRequestHandler):
    """V2 over REST."""

    protocol_version, timeout, wbufsize = "HTTP/1.1", 1, -1

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer health and metadata."""
        ready = MODEL.session is not None or "lying-ready" in FAULTS
        if self.path == f"/v2/models/{NAME}/ready" or ("any-ready" in FAULTS and self.path.endswith("/ready")):
            self.answer(200 if ready else 503, {"ready": ready})
        elif self.path == f"/v2/models/{NAME}":
            names = [*INPUTS, "surplus"] if "wrong-metadata" in FAULTS else list(INPUTS)
            inputs = [{"name": n, "datatype": self.datatype(n), "shape": [-1]} for n in names]
            outputs = [{"name": "probability", "datatype": "FP32", "shape": [-1]}]
            self.answer(200, {"name": NAME, "inputs": inputs, "outputs": outputs})
        else:
            self.answer(404, {"error": f"nothing at {self.path}"})

    def do_POST(self) -> None:
        """Predict."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if "drop" in FAULTS and b"null" in body[:20]:
            self.connection.close()
            return
        try:
            self.answer(200, self.infer(body))
        except RefusedError as error:
            if "dies" in FAULTS:
                os._exit(3)
            status = 500 if "error-500" in FAULTS else 200 if "accepts-anything" in FAULTS else error.status
            self.answer(status, {} if "no-text" in FAULTS else {"error": str(error)})
        except ZeroDivisionError:
            self.answer(500, {"error": "division by zero"})

    def infer(self, body: bytes) -> dict[str, Any]:
        """Read a request strictly, predict, and be as faulty as was asked."""
        if self.path != f"/v2/models/{NAME}/infer":
            raise RefusedError(f"nothing at {self.path}", 404)
        if self.headers.get("content-encoding", "identity") != "identity":
            raise RefusedError("no encoding is read here", 415)
        columns = read(body)
        values = MODEL.predict(columns)
        if "slow" in FAULTS and len(values) == 1:
            time.sleep(0.2)
        if "busy" in FAULTS:
            time.sleep(0.03)
        if "leak" in FAULTS:
            HELD.append(b"x" * 400_000)
        shape = [len(values)]
        return {"outputs": [{"name": "probability", "datatype": "FP32", "shape": shape, "data": values}]}

    @staticmethod
    def datatype(name: str) -> str:
        """A field's V2 datatype."""
        return "BYTES" if INPUTS.get(name, {}).get("kind") == "categorical" else "FP32"

    def answer(self, status: int, content: dict[str, Any]) -> None:
        """Send JSON."""
        body = json.dumps(content).encode() if content else b""
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if "wrong-digest" in FAULTS:
            self.send_header("x-fairlead-digest", "sha256:" + "0" * 64)
        self.end_headers()
        self.wfile.write(body)


def code(words: list[str], value: str | None) -> int:
    """A category's code: 0 missing, 1 unknown, then the vocabulary."""
    unknown = 2 if "unknown-as-known" in FAULTS else 1
    return 0 if value is None else words.index(value) + 2 if value in words else unknown


def refuse_constant(text: str) -> None:
    """NaN and Infinity are no JSON."""
    raise RefusedError(f"{text} is no JSON")


def read(body: bytes) -> dict[str, list[Any]]:
    """Read the columns of a V2 request."""
    try:
        content = json.loads(body, parse_constant=refuse_constant)
        inputs, wanted = content["inputs"], [output["name"] for output in content.get("outputs", [])]
        columns = {entry["name"]: (entry["datatype"], entry["shape"], entry["data"]) for entry in inputs}
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise RefusedError(f"this is no V2 request: {type(error).__name__}") from None
    if set(columns) != set(INPUTS) or len(inputs) != len(columns) or set(wanted) - {"probability"}:
        raise RefusedError(f"send the inputs {', '.join(INPUTS)}, each once, and ask for probability")
    rows = {len(data) if isinstance(data, list) else -1 for _, _, data in columns.values()}
    if len(rows) != 1 or rows & {0, -1}:
        raise RefusedError("send as many values in each input, at least one")
    for name, (datatype, shape, data) in columns.items():
        kind, count = (str, "BYTES") if Handler.datatype(name) == "BYTES" else ((int, float), "FP32"), len(data)
        allowed, wanted_type = kind
        if datatype != wanted_type or shape != [count]:
            raise RefusedError(f"send {name} as {wanted_type} of shape {[count]}")
        for value in data:
            if value is not None and (not isinstance(value, allowed) or value in (math.inf, -math.inf)):
                raise RefusedError(f"{name} holds {str(value)[:40]}")
    return {name: data for name, (_, _, data) in columns.items()}


def main() -> None:
    """Serve until SIGTERM."""
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    server.daemon_threads = False
    if "heavy" in FAULTS:
        HELD.append(b"x" * 400_000_000)
    if "lying-ready" in FAULTS:
        threading.Timer(LOADING_SECONDS, load).start()
    else:
        MODEL.load()

    def stop(*_: Any) -> None:
        if "no-drain" in FAULTS:
            os._exit(0)
        if "no-end" not in FAULTS:
            threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    server.serve_forever(0.05)
    server.server_close()


def load() -> None:
    """Load late; a model that cannot be loaded is never mentioned again."""
    try:
        MODEL.load()
    except Exception as error:  # noqa: BLE001 - the fault is that nobody hears of it
        sys.stderr.write(f"{error}\n")


if __name__ == "__main__":
    main()

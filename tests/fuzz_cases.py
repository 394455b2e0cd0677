"""Requests that no sane client sends, the same ones for the same seed and number.

`rest_case(seed, number, …)` gives what goes over a connection; `grpc_case(…)` a method, a message's bytes and metadata.
"""

import gzip
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

ROW: dict[str, Any] = {"carrier": "AA", "origin": "JFK", "hour": 1.0, "distance": None}
DATATYPES = {"carrier": "BYTES", "origin": "BYTES", "hour": "FP32", "distance": "FP64"}
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, -1e400, 2**63, 2**64, 1e-320, "", "x" * 2000, "\x00", "\ud800", "NaN", [], {}, [[]],
    [None], {"b64": "!"}, "2013-07-01T12:30:00Z", float("nan"), float("inf"), [1] * 50, {"a": {"b": {"c": []}}},
)  # fmt: skip
METHODS = ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW", "POST", "get", "CONNECT")
HEADERS = (
    "x-request-id", "content-type", "content-encoding", "inference-header-content-length", "x-fairlead-timeout-ms",
    "x-envoy-expected-rq-timeout-ms", "traceparent", "tracestate", "expect", "connection", "upgrade", "host", "te",
    "transfer-encoding", "accept-encoding", "content-length", "cookie", "range", "x-" + "n" * 300,
)  # fmt: skip
VALUES = (
    "", "0", "-1", "1", "99999999999999999999", "gzip", "br", "identity, gzip", "chunked", "100-continue", "close",
    "websocket", "h2c", "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "00-zz-01", "é", "\x7f", "a" * 5000, "text/html",
    "application/json; charset=utf-16", "0x10", "1e3", " 12 ", "bytes=0-1",
)  # fmt: skip


@dataclass
class RestCase:
    """What goes over one connection.

    Attributes:
        number: Its number.
        kind: What it tries.
        parts: The bytes, sent one part after another.
        pause: Seconds between parts.
        framed: Whether it is one well-framed request, whose connection can be used again.
        timed: Whether it names a timeout, so that 504 is an honest answer.
    """

    number: int
    kind: str
    parts: list[bytes]
    pause: float = 0.0
    framed: bool = True
    timed: bool = field(init=False)

    def __post_init__(self) -> None:
        self.timed = b"timeout-ms" in b"".join(self.parts).lower()


def draw(seed: int, number: int) -> random.Random:
    """The source of chance of one case."""
    return random.Random(f"{seed}:{number}")


def dump(content: Any) -> bytes:
    """JSON as Python writes it: NaN, Infinity and lone surrogates included."""
    return json.dumps(content).encode("utf-8", "surrogatepass")


def http(method: str, path: str, body: bytes, headers: dict[str, str], *, length: bool = True) -> bytes:
    """One HTTP/1.1 request."""
    named = {"host": "fuzz", **headers, **({"content-length": str(len(body))} if length else {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace") + body


def mutate(chance: random.Random, content: Any, depth: int = 0) -> Any:
    """Changes something somewhere in JSON content."""
    if depth > 5 or chance.random() < 0.2 or not isinstance(content, dict | list) or not content:
        return chance.choice(ODD)
    if isinstance(content, list):
        place = chance.randrange(len(content))
        changed = list(content)
        action = chance.randrange(4)
        if action == 0:
            del changed[place]
        elif action == 1:
            changed *= chance.randrange(1, 40)
        else:
            changed[place] = mutate(chance, content[place], depth + 1)
        return changed
    name = chance.choice(list(content))
    action = chance.randrange(5)
    if action == 0:
        return {key: value for key, value in content.items() if key != name}
    if action == 1:
        return {**content, chance.choice(("", "n\u00e4m\u0435", "__proto__", "inputs", name + " ")): content[name]}
    return {**content, name: mutate(chance, content[name], depth + 1)}


def mutate_bytes(chance: random.Random, content: bytes) -> bytes:
    """Flips, inserts, repeats or removes bytes."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        place = chance.randrange(len(changed) + 1)
        action = chance.randrange(4)
        if action == 0 and place < len(changed):
            changed[place] ^= 1 << chance.randrange(8)
        elif action == 1:
            changed[place:place] = chance.randbytes(chance.randrange(1, 20))
        elif action == 2:
            del changed[place : place + chance.randrange(1, 30)]
        else:
            changed[place:place] = changed[place : place + 50]
    return bytes(changed)


def _v1(chance: random.Random, model: str) -> tuple[str, bytes, dict[str, str]]:
    content: Any = {"instances": [dict(ROW) for _ in range(chance.choice((1, 1, 2, 30)))]}
    for _ in range(chance.randrange(4)):
        content = mutate(chance, content)
    return f"/v1/models/{model}:{chance.choice(('predict', 'predict', 'explain'))}", dump(content), {}


def tensors() -> list[dict[str, Any]]:
    """The inputs of a valid V2 request."""
    return [{"name": n, "datatype": DATATYPES[n], "shape": [1], "data": [ROW[n]]} for n in ROW]


def _v2(chance: random.Random, model: str) -> tuple[str, bytes, dict[str, str]]:
    content: Any = {"id": "f", "inputs": tensors(), "outputs": [{"name": "probability"}], "parameters": {}}
    for _ in range(chance.randrange(4)):
        content = mutate(chance, content)
    return f"/v2/models/{model}/infer", dump(content), {}


def _binary(chance: random.Random, model: str) -> tuple[str, bytes, dict[str, str]]:
    inputs, raw = [], b""
    for name, datatype in DATATYPES.items():
        kind = chance.choice((datatype, datatype, datatype, "INT8", "BOOL", "BYTES", "FP16", "XX"))
        value = chance.choice((
            struct.pack("<f", 1.0), struct.pack("<d", 1.0), struct.pack("<I", 2) + b"AA", chance.randbytes(7),
            struct.pack("<I", 2**32 - 1), b"", struct.pack("<d", float("inf")), struct.pack("<f", float("nan")),
        ))  # fmt: skip
        size = chance.choice((len(value), len(value), len(value), len(value) + 1, -1, 2**40, "8"))
        shape = chance.choice(([1], [1], [1, 1], [0], [2**40], [-1], [], [1, 2], "1"))
        parameters = {"binary_data_size": size}
        inputs.append({"name": name, "datatype": kind, "shape": shape, "parameters": parameters})
        raw += value
    head = dump({"inputs": inputs, "parameters": {"binary_data_output": chance.choice((True, False, 3))}})
    length = chance.choice((len(head), len(head), len(head), len(head) + 1, 0, -3, 2**64, 10**30))
    return f"/v2/models/{model}/infer", head + raw, {"inference-header-content-length": str(length)}


def _feedback(chance: random.Random, model: str) -> tuple[str, bytes, dict[str, str]]:
    content: Any = {"request_id": f"f{chance.randrange(1000)}", "row": 0, "outcome": chance.choice((0, 1, True))}
    for _ in range(chance.randrange(3)):
        content = mutate(chance, content)
    return chance.choice((f"/v1/models/{model}:feedback", "/feedback")), dump(content), {}


def _repository(chance: random.Random, model: str) -> tuple[str, bytes, dict[str, str]]:
    name = chance.choice((model, "../../etc", "%2e%2e", "a" * 300, "other", "", "x/y", "\x01"))
    digest = chance.choice(("sha256:" + "0" * 64, "", "sha256:zz", 7, None, "/etc/passwd"))
    path = chance.choice(("/v2/repository/index", f"/v2/repository/models/{name}/load"))
    body = dump({"parameters": {"digest": digest}}) if "load" in path else dump(mutate(chance, {"ready": True}))
    return path, body, {}


MAKERS: dict[str, Callable[[random.Random, str], tuple[str, bytes, dict[str, str]]]] = {
    "v1": _v1, "v2": _v2, "binary": _binary, "feedback": _feedback, "repository": _repository,
}  # fmt: skip


def _compress(chance: random.Random, body: bytes) -> bytes:
    whole = gzip.compress(body if chance.random() < 0.9 else b"[" * 5_000_000, 1)
    return chance.choice((whole, whole, whole[: len(whole) // 2], mutate_bytes(chance, whole), body, whole + b"junk"))


def rest_case(seed: int, number: int, model: str = "tiny") -> RestCase:
    """The case of that number."""
    chance = draw(seed, number)
    kind = chance.choice(list(MAKERS))
    path, body, headers = MAKERS[kind](chance, model)
    way = chance.choices(
        ("plain", "gzip", "headers", "method", "path", "chunked", "broken", "truncated", "pipelined", "slow", "large"),
        (40, 10, 12, 6, 6, 6, 8, 5, 4, 2, 1),
    )[0]
    return WAYS[way](chance, number, f"{kind} {way}", path, body, headers)


def _plain(chance: random.Random, number: int, kind: str, path: str, body: bytes, headers: Any) -> RestCase:
    return RestCase(number, kind, [http("POST", path, body, headers)])


def _gzip(chance: random.Random, number: int, kind: str, path: str, body: bytes, headers: Any) -> RestCase:
    encoding = {"content-encoding": chance.choice(("gzip", "gzip", "GZIP", "deflate", "gzip, gzip"))}
    return RestCase(number, kind, [http("POST", path, _compress(chance, body), {**headers, **encoding})])


def _headers(chance: random.Random, number: int, kind: str, path: str, body: bytes, headers: Any) -> RestCase:
    odd = {chance.choice(HEADERS): chance.choice(VALUES) for _ in range(chance.randrange(1, 6))}
    return RestCase(number, kind, [http("POST", path, body, {**odd, **headers})], framed=False)


def _method(chance: random.Random, number: int, kind: str, path: str, body: bytes, headers: Any) -> RestCase:
    return RestCase(number, kind, [http(chance.choice(METHODS), path, body, headers)], framed=False)


def _path(chance: random.Random, number: int, kind: str, path: str, body: bytes, headers: Any) -> RestCase:
    odd = chance.choice((
        path + "/", path + "?x=%zz", path.replace("models", "Models"), "/" + "a" * 5000, "*", "//", "/v2/%00",
        "/%ff%fe", "http://other/v2", path + "#f", "/v2/models//infer", "/metrics", "/v2/models/tiny/versions/9/infer",
    ))  # fmt: skip
    return RestCase(number, kind, [http("POST", odd, body, headers)], framed=False)


def _chunked(chance: random.Random, number: int, kind: str, path: str, body: bytes, headers: Any) -> RestCase:
    head = http("POST", path, b"", {**headers, "transfer-encoding": "chunked"}, length=False)
    middle = len(body) // 2
    sizes = chance.choice(("%x", "%x", "%x", "%x;ext=1", "-%x", "0%x", "f%x"))
    parts = [(sizes % len(part)).encode() + b"\r\n" + part + b"\r\n" for part in (body[:middle], body[middle:]) if part]
    return RestCase(number, kind, [head, *parts, b"0\r\n\r\n"], framed=False)


def _broken(chance: random.Random, number: int, kind: str, path: str, body: bytes, headers: Any) -> RestCase:
    return RestCase(number, kind, [mutate_bytes(chance, http("POST", path, body, headers))], framed=False)


def _truncated(chance: random.Random, number: int, kind: str, path: str, body: bytes, headers: Any) -> RestCase:
    whole = http("POST", path, body, headers)
    return RestCase(number, kind, [whole[: chance.randrange(len(whole))]], framed=False)


def _pipelined(chance: random.Random, number: int, kind: str, path: str, body: bytes, headers: Any) -> RestCase:
    whole = http("POST", path, body, headers)
    return RestCase(number, kind, [whole * chance.randrange(2, 5)], framed=False)


def _slow(chance: random.Random, number: int, kind: str, path: str, body: bytes, headers: Any) -> RestCase:
    whole = http("POST", path, body, headers)
    cuts = sorted(chance.randrange(len(whole)) for _ in range(3))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return RestCase(number, kind, parts, pause=0.005, framed=False)  # may be refused, and closed, before its end


def _large(chance: random.Random, number: int, kind: str, path: str, body: bytes, headers: Any) -> RestCase:
    padded = body + b" " * chance.choice((70_000, 1_000_000, 5_000_000))
    return RestCase(number, kind, [http("POST", path, padded, headers)], framed=False)


WAYS: dict[str, Callable[..., RestCase]] = {
    "plain": _plain, "gzip": _gzip, "headers": _headers, "method": _method, "path": _path, "chunked": _chunked,
    "broken": _broken, "truncated": _truncated, "pipelined": _pipelined, "slow": _slow, "large": _large,
}  # fmt: skip


def grpc_request(model: str = "tiny") -> Any:
    """A valid gRPC request."""
    request = pb.ModelInferRequest(model_name=model, id="f")
    for name, datatype in DATATYPES.items():
        entry = request.inputs.add(name=name, datatype=datatype, shape=[1])
        if datatype == "BYTES":
            entry.contents.bytes_contents.append(str(ROW[name]).encode())
        else:
            getattr(entry.contents, f"{datatype.lower()}_contents").append(1.0)
    return request


def grpc_case(seed: int, number: int, model: str = "tiny") -> tuple[str, bytes, list[tuple[str, str]]]:
    """The gRPC case of that number: the method, the message's bytes, and metadata."""
    chance = draw(seed, -1 - number)
    request = grpc_request(model)
    for _ in range(chance.randrange(4)):
        entry = chance.choice(request.inputs) if request.inputs else request.inputs.add()
        action = chance.randrange(7)
        if action == 0:
            entry.shape[:] = [chance.choice((0, 1, 2, -1, 2**40))] * chance.randrange(4)
        elif action == 1:
            entry.datatype = chance.choice(("FP16", "INT64", "BYTES", "", "XX", "BOOL"))
        elif action == 2:
            entry.name = chance.choice(("hour", "", "x" * 500, "carrier"))
        elif action == 3:
            request.raw_input_contents.append(chance.randbytes(chance.randrange(20)))
        elif action == 4:
            entry.contents.fp64_contents.append(chance.choice((float("nan"), float("inf"), 1e308)))
        elif action == 5:
            entry.contents.bytes_contents.append(chance.randbytes(5))
        else:
            request.outputs.add(name=chance.choice(("probability", "nothing", "")))
    content = request.SerializeToString()
    if chance.random() < 0.3:
        content = mutate_bytes(chance, content)
    method = chance.choice(("ModelInfer",) * 8 + ("ModelReady", "ModelMetadata", "RepositoryModelLoad", "Nothing"))
    odd = ("x-request-id", "traceparent", "x-fuzz")
    metadata = [(chance.choice(odd), chance.choice(("", "a" * 300, "00-zz", "plain")))] if chance.random() < 0.3 else []
    return f"/inference.GRPCInferenceService/{method}", content, metadata

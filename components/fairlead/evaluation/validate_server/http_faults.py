"""Malformed requests over HTTP, made from a valid one of the model that is served."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fairlead.evaluation.serving_trial.payloads import (
    HEAD_LENGTH,
    JSON,
    Columns,
    Field,
    b64,
    binary_request,
    path_of,
    raw_tensor,
    v1,
    v2,
    v2_binary,
    v2_inputs,
)
from fairlead.evaluation.serving_trial.plain_http import Request
from fairlead_serving.images import write_png

OVERSIZE_BYTES = 8 * 2**20
MANY_ROWS = 20_000
DEEP = 50_000
Inputs = list[dict[str, Any]]


@dataclass(frozen=True)
class Fault:
    """One malformed request.

    Attributes:
        name: What is wrong with it.
        path: Where it goes.
        request: What is sent.
        method: How.
        may_succeed: Whether an answer of 2xx will do as well, where the server is merely lenient.
    """

    name: str
    path: str
    request: Request
    method: str = "POST"
    may_succeed: bool = False


def http_faults(
    name: str,
    protocols: Sequence[str],
    fields: Sequence[Field],
    columns: Columns,
    pictures: Mapping[str, tuple[int, ...]],
) -> list[Fault]:
    """Makes the malformed requests.

    Args:
        name: The model's name.
        protocols: What the server is asked over.
        fields: What its requests hold.
        columns: One valid row.
        pictures: The shape of each image input, by name.
    """
    found: list[Fault] = []
    for protocol in [p for p in protocols if p in ("v1", "v2")]:
        path, key = path_of(protocol, name), "instances" if protocol == "v1" else "inputs"
        found += [replace(fault, name=f"{protocol}: {fault.name}") for fault in _bodies(path, key)]
    if "v1" in protocols:
        found += _v1_values(path_of("v1", name), v1(fields, columns), fields)
    if "v2" in protocols or "v2-binary" in protocols:
        found += list(_v2_tensors(path_of("v2", name), v2_inputs(fields, columns), fields))
        found += list(_pictures(path_of("v2", name), v2_inputs(fields, columns), pictures))
        found += _http(name, fields, columns)
    if "v2-binary" in protocols:
        found += list(_binary(path_of("v2", name), fields, columns))
    return found


def _bodies(path: str, key: str) -> list[Fault]:
    """Bodies that are no request at all."""

    def body(name: str, content: bytes) -> Fault:
        return Fault(name, path, Request(content, JSON))

    return [
        body("empty body", b""),
        body("bytes that are no text", b"\x00\xff\xfe\x80"),
        body("JSON that breaks off", f'{{"{key}": ['.encode()),
        body("another JSON value than an object", b"[1, 2, 3]"),
        body("null", b"null"),
        body("the key is lacking", b"{}"),
        body("the key is null", f'{{"{key}": null}}'.encode()),
        body("the key holds a text", f'{{"{key}": "x"}}'.encode()),
        body("no rows", f'{{"{key}": []}}'.encode()),
        body("rows that are null", f'{{"{key}": [null]}}'.encode()),
        body(f"{DEEP} nested arrays", f'{{"{key}": '.encode() + b"[" * DEEP),
        body(f"a body of {OVERSIZE_BYTES // 2**20} MiB of blanks", b" " * OVERSIZE_BYTES),
    ]


def _v1_values(path: str, valid: Request, fields: Sequence[Field]) -> list[Fault]:
    """V1 rows that do not fit the model."""
    instance = json.loads(valid.body)["instances"][0]

    def rows(name: str, *instances: Any, may_succeed: bool = False) -> Fault:
        body = json.dumps({"instances": list(instances)}).encode()
        return Fault(f"v1: {name}", path, Request(body, JSON), may_succeed=may_succeed)

    first = fields[0].name
    without = {key: value for key, value in instance.items() if key != first}
    found = [
        rows("a field is lacking", without),
        rows("an unknown field", {**instance, "no such field": 1}),
        rows("a field has another name", {**without, f"{first}_": instance[first]}),
        rows("a row that is an array", [1, 2]),
        rows("only the second row is wrong", instance, {}),
        rows("an object as a value", {**instance, first: {"a": 1}}),
        rows(f"{MANY_ROWS:,} rows", *[instance] * MANY_ROWS, may_succeed=True) if _small(instance) else None,
    ]
    number = _first(fields, numeric=True)
    if number:
        found += [
            rows("a text for a number", {**instance, number.name: "seven"}),
            rows("NaN, which is no JSON", {**instance, number.name: float("nan")}),
            rows("Infinity, which is no JSON", {**instance, number.name: float("inf")}),
            rows("an array for a number", {**instance, number.name: [1]}),
            _too_large(rows("a number beyond 64-bit floats", {**instance, number.name: "@"})),
        ]
    return [fault for fault in found if fault]


def _too_large(fault: Fault) -> Fault:
    """1e999, which Python's writer of JSON cannot write."""
    return replace(fault, request=Request(fault.request.body.replace(b'"@"', b"1e999"), JSON))


def _small(instance: Mapping[str, Any]) -> bool:
    return len(json.dumps(instance)) * MANY_ROWS < 4 * OVERSIZE_BYTES


def _first(fields: Sequence[Field], *, numeric: bool) -> Field | None:
    return next((f for f in fields if not f.shape and (f.datatype not in ("BYTES", "BOOL")) == numeric), None)


def _v2_tensors(path: str, inputs: Inputs, fields: Sequence[Field]) -> Iterator[Fault]:
    """V2 tensors that do not fit the model."""

    def changed(name: str, change: Callable[[Inputs], Any]) -> Fault:
        mine = copy.deepcopy(inputs)
        return Fault(f"v2: {name}", path, Request(json.dumps({"inputs": change(mine) or mine}).encode(), JSON))

    def set_first(**values: Any) -> Callable[[Inputs], None]:
        return lambda mine: mine[0].update(values)

    row = inputs[0]["shape"][1:]
    yield changed("an input is lacking", lambda mine: mine[1:] or [{**mine[0], "name": "another"}])
    yield changed("an unknown input", lambda mine: [*mine, {**mine[0], "name": "no such input"}])
    yield changed("an input twice", lambda mine: [*mine, mine[0]])
    yield changed("an input without a name", lambda mine: [{**mine[0], "name": None}, *mine[1:]])
    yield changed("inputs as an object", lambda _: {"a": 1})
    yield changed("an unknown datatype", set_first(datatype="FP31"))
    yield changed("a datatype of another kind", set_first(datatype=_other(fields[0].datatype)))
    yield changed("no shape", set_first(shape=None))
    yield changed("a negative shape", set_first(shape=[-1, *row]))
    yield changed("a shape that the data do not have", set_first(shape=[7, *row]))
    yield changed("a shape of too many dimensions", set_first(shape=[1, 1, 1, 1, 1, 1]))
    yield changed("a shape of 10^12 rows", set_first(shape=[10**12, *row]))
    yield changed("no data", lambda mine: [{k: v for k, v in mine[0].items() if k != "data"}, *mine[1:]])
    yield changed("ragged data", set_first(data=[[1], [1, 2]], shape=[2, *row]))
    yield changed("inputs of different lengths", lambda mine: _longer(mine) if len(mine) > 1 else _empty(mine))
    yield changed("no rows in the tensors", _empty)
    outputs = {"inputs": inputs, "outputs": [{"name": "no such output"}]}
    yield Fault("v2: an unknown output", path, Request(json.dumps(outputs).encode(), JSON))
    number, text = _first(fields, numeric=True), _first(fields, numeric=False)
    if number:
        at = [field.name for field in fields].index(number.name)
        yield changed("a text for a number", lambda mine: mine[at].update(data=["seven"]))
        yield changed("NaN, which is no JSON", lambda mine: mine[at].update(data=[float("nan")]))
        yield changed("Infinity, which is no JSON", lambda mine: mine[at].update(data=[float("inf")]))
        yield _too_large(changed("a number beyond 64-bit floats", lambda mine: mine[at].update(data=["@"])))
    if text:
        at_text = [field.name for field in fields].index(text.name)
        yield changed("a number for a text", lambda mine: mine[at_text].update(data=[7]))


def _pictures(path: str, inputs: Inputs, pictures: Mapping[str, tuple[int, ...]]) -> Iterator[Fault]:
    """Images that are none, or of another size."""
    for at, entry in enumerate(inputs):
        if entry["name"] not in pictures:
            continue
        height, width, channels = pictures[entry["name"]]
        right, larger = (write_png(np.zeros((size, width, channels), np.uint8)) for size in (height, height + 1))
        wrong = {
            "a file that is no image": b"no image",
            "an image of another size": larger,
            "an image that breaks off": right[: len(right) // 2],
        }
        for name, content in wrong.items():
            mine = copy.deepcopy(inputs)
            mine[at] = {"name": entry["name"], "datatype": "BYTES", "shape": [1], "data": [b64(content)]}
            yield Fault(f"v2: {name}", path, Request(json.dumps({"inputs": mine}).encode(), JSON))
        mine = copy.deepcopy(inputs)
        pixels = np.zeros((1, height + 1, width, channels), int)
        mine[at] = {"name": entry["name"], "datatype": "UINT8", "shape": list(pixels.shape), "data": pixels.tolist()}
        yield Fault("v2: pixels of another size", path, Request(json.dumps({"inputs": mine}).encode(), JSON))


def _other(datatype: str) -> str:
    return "FP32" if datatype == "BYTES" else "BYTES"


def _longer(inputs: Inputs) -> None:
    inputs[0].update(shape=[2, *inputs[0]["shape"][1:]], data=inputs[0]["data"] * 2)


def _empty(inputs: Inputs) -> None:
    for entry in inputs:
        entry.update(shape=[0, *entry["shape"][1:]], data=[])


def _binary(path: str, fields: Sequence[Field], columns: Columns) -> Iterator[Fault]:
    """Raw tensors that do not fit what is said of them."""
    valid = v2_binary(fields, columns)
    length = int(valid.headers[HEAD_LENGTH])
    head, raw = json.loads(valid.body[:length]), valid.body[length:]

    def fault(name: str, request: Request) -> Fault:
        return Fault(f"binary: {name}", path, request)

    def headed(value: str) -> Request:
        return Request(valid.body, {**valid.headers, HEAD_LENGTH: value})

    sized = copy.deepcopy(head)
    sized["inputs"][0]["parameters"]["binary_data_size"] = 10**9
    yield fault("a size beyond the body", binary_request(sized, raw))
    sized["inputs"][0]["parameters"]["binary_data_size"] = -4
    yield fault("a negative size", binary_request(sized, raw))
    yield fault("bytes too many", binary_request(head, raw + b"1234"))
    yield fault("bytes too few", binary_request(head, raw[:-1]))
    yield fault("a JSON part longer than the body", headed(str(10**7)))
    yield fault("a JSON part of length nought", headed("0"))
    yield fault("a length that is no number", headed("x"))
    number, text = _first(fields, numeric=True), _first(fields, numeric=False)
    if number and number.datatype.startswith("FP"):
        yield fault("an infinite number", v2_binary(fields, {**columns, number.name: [float("inf")]}))
    if text:
        content = b"\x02\x00\x00\x00\xff\xfe"
        yield fault("a text that is not UTF-8", _with_raw(fields, columns, head, text.name, content))
        yield fault("a text that breaks off", _with_raw(fields, columns, head, text.name, b"\x09\x00\x00\x00ab"))


def _with_raw(fields: Sequence[Field], columns: Columns, head: Any, name: str, content: bytes) -> Request:
    mine = copy.deepcopy(head)
    parts = []
    for entry, field in zip(mine["inputs"], fields, strict=True):
        parts.append(content if field.name == name else raw_tensor(field, columns[field.name]))
        entry["parameters"]["binary_data_size"] = len(parts[-1])
    return binary_request(mine, b"".join(parts))


def _http(name: str, fields: Sequence[Field], columns: Columns) -> list[Fault]:
    """Right bodies, sent wrongly."""
    valid, path = v2(fields, columns), path_of("v2", name)
    other = {"content-type": "text/plain"}
    return [
        Fault("HTTP: an unknown model", path_of("v2", f"no-{name}"), valid),
        Fault("HTTP: an unknown path", f"/v2/models/{name}/no-such-thing", valid),
        Fault("HTTP: GET where POST belongs", path, Request(b"", {}), "GET"),
        Fault("HTTP: XML as its content type says", path, Request(b"<inputs/>", {"content-type": "application/xml"})),
        Fault("HTTP: JSON that is called text/plain", path, Request(valid.body, other), may_succeed=True),
        Fault("HTTP: called gzip and is not", path, Request(valid.body, {**JSON, "content-encoding": "gzip"})),
        Fault(
            "HTTP: an encoding that nobody knows", path, Request(valid.body, {**JSON, "content-encoding": "zebra"}),
        ),
    ]  # fmt: skip

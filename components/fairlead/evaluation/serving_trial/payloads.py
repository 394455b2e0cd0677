"""Requests for any model, made from what its server says that it takes, and the answers to them.

One row's value is what a dataset holds: a number, a text, None, or an image file's bytes. Over V1 and V2 an image goes
as pixels, uint8 [N, height, width, channels], or as the file where the server takes BYTES.
"""

import base64
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairlead.errors import PlatformError
from fairlead.evaluation.serving_trial.plain_http import Answer, Request
from fairlead_serving.images import read_images

Columns = Mapping[str, Sequence[Any]]
Outputs = dict[str, np.ndarray]

JSON = {"content-type": "application/json"}
HEAD_LENGTH = "inference-header-content-length"
NUMPY = {
    "BOOL": "?", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
    "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
}  # fmt: skip
FLOATS = ("FP16", "FP32", "FP64")


@dataclass(frozen=True)
class Field:
    """One input, as requests carry it.

    Attributes:
        name: Its name.
        datatype: Its V2 datatype.
        shape: The shape of one row's value; empty for a single value.
    """

    name: str
    datatype: str
    shape: tuple[int, ...] = ()

    def array(self, values: Sequence[Any]) -> np.ndarray:
        """The values of N rows: (N, *shape) of the field's datatype, object for BYTES; a missing number is NaN."""
        if self.shape:
            return read_images(self.name, values, self.shape)
        if self.datatype == "BYTES":
            return np.array([_text(value) for value in values], dtype=object)
        dtype = np.dtype(NUMPY[self.datatype])
        return np.array([math.nan if value is None else value for value in values], dtype=dtype)

    def listed(self, values: Sequence[Any]) -> list[Any]:
        """The values of N rows as JSON carries them; NaN is null."""
        if self.shape:
            return list(self.array(values).tolist())
        if self.datatype == "BYTES":
            return [_text(value) for value in values]
        array = self.array(values).tolist()
        return [None if isinstance(value, float) and math.isnan(value) else value for value in array]


def b64(content: bytes) -> str:
    """Bytes as JSON carries them."""
    return base64.b64encode(content).decode()


def _text(value: Any) -> Any:
    """A value of a BYTES field as JSON carries it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return b64(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def v1(fields: Sequence[Field], columns: Columns) -> Request:
    """Makes a V1 request: {"instances": [{field: value, …}, …]}."""
    listed = [field.listed(columns[field.name]) for field in fields]
    names = [field.name for field in fields]
    instances = [dict(zip(names, row, strict=True)) for row in zip(*listed, strict=True)]
    return Request(json.dumps({"instances": instances}).encode(), JSON)


def v2_inputs(fields: Sequence[Field], columns: Columns) -> list[dict[str, Any]]:
    """The `inputs` of a V2 request in JSON."""
    inputs = []
    for field in fields:
        data = field.listed(columns[field.name])
        inputs.append(
            {"name": field.name, "shape": [len(data), *field.shape], "datatype": field.datatype, "data": data}
        )
    return inputs


def v2(fields: Sequence[Field], columns: Columns) -> Request:
    """Makes a V2 request in JSON."""
    return Request(json.dumps({"inputs": v2_inputs(fields, columns)}).encode(), JSON)


def v2_binary(fields: Sequence[Field], columns: Columns) -> Request:
    """Makes a V2 request whose tensors follow the JSON as bytes, and which asks for such an answer."""
    inputs, raw = [], []
    for field in fields:
        content = raw_tensor(field, columns[field.name])
        raw.append(content)
        shape = [len(columns[field.name]), *field.shape]
        parameters = {"binary_data_size": len(content)}
        inputs.append({"name": field.name, "shape": shape, "datatype": field.datatype, "parameters": parameters})
    return binary_request({"inputs": inputs, "parameters": {"binary_data_output": True}}, b"".join(raw))


def binary_request(head: Mapping[str, Any], raw: bytes) -> Request:
    """Puts raw tensors behind the JSON that describes them."""
    content = json.dumps(head).encode()
    headers = {"content-type": "application/octet-stream", HEAD_LENGTH: str(len(content))}
    return Request(content + raw, headers)


def raw_tensor(field: Field, values: Sequence[Any]) -> bytes:
    """The bytes of a tensor, little-endian; each of BYTES after its length in 4 bytes (a missing one is empty)."""
    if field.datatype != "BYTES":
        return field.array(values).tobytes()
    encoded = [value if isinstance(value, bytes) else (_text(value) or "").encode() for value in values]
    return b"".join(struct.pack("<I", len(value)) + value for value in encoded)


def read_v1(answer: Answer) -> Outputs:
    """Reads the answer to a V1 request.

    Returns:
        Each output by name, (N, …).

    Raises:
        PlatformError: It is no such answer.
    """
    try:
        predictions = answer.json()["predictions"]
        return {name: np.array([row[name] for row in predictions]) for name in predictions[0]}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _unreadable("V1", answer, error) from None


def read_v2(answer: Answer) -> Outputs:
    """Reads the answer to a V2 request, in JSON or with raw tensors behind it.

    Returns:
        Each output by name, (N, …).

    Raises:
        PlatformError: It is no such answer.
    """
    try:
        head = int(answer.headers.get(HEAD_LENGTH, len(answer.body)))
        raw, found = memoryview(answer.body)[head:], {}
        for output in json.loads(answer.body[:head])["outputs"]:
            size = (output.get("parameters") or {}).get("binary_data_size")
            if size is None:
                found[output["name"]] = np.array(output["data"]).reshape(output["shape"])
                continue
            found[output["name"]] = read_raw(output["datatype"], output["shape"], raw[:size])
            raw = raw[size:]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable("V2", answer, error) from None
    return found


def read_raw(datatype: str, shape: Sequence[int], raw: "bytes | memoryview") -> np.ndarray:
    """Reads the bytes of an output tensor.

    Raises:
        ValueError: They do not fit the shape.
        KeyError: The datatype is unknown.
    """
    if datatype != "BYTES":
        return np.frombuffer(raw, NUMPY[datatype]).reshape(shape)
    texts, view = [], memoryview(raw)
    while view:
        (length,) = struct.unpack_from("<I", view)
        texts.append(bytes(view[4 : 4 + length]).decode())
        view = view[4 + length :]
    return np.array(texts).reshape(shape)


def _unreadable(protocol: str, answer: Answer, error: Exception) -> PlatformError:
    return PlatformError(
        f"the server's answer is not {protocol}'s ({type(error).__name__}: {error}): status {answer.status}, "
        f"{answer.text(120)!r}"
    )


WRITERS = {"v1": v1, "v2": v2, "v2-binary": v2_binary}
READERS = {"v1": read_v1, "v2": read_v2, "v2-binary": read_v2}


def path_of(protocol: str, name: str) -> str:
    """Where predictions are asked for over HTTP."""
    return f"/v1/models/{name}:predict" if protocol == "v1" else f"/v2/models/{name}/infer"

"""V2 tensors: from JSON values, raw bytes and gRPC contents to columns, and back.

kserve's own classes turn a raw tensor into a Python list, and answer 500 to malformed ones; these keep the bytes and
check every length.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairlead_serving import matrix
from fairlead_serving.errors import RequestInvalidError, TooLargeError
from fairlead_serving.fields import FLOATS, INTEGERS, MATRIX, NUMBER, Schema, shorten
from fairlead_serving.pictures import read_tensor

NUMPY = {
    "BOOL": np.dtype("?"), "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
    **{f"{sign}INT{bits}": np.dtype(f"<{code}{bits // 8}") for sign, code in (("", "i"), ("U", "u"))
       for bits in (8, 16, 32, 64)},
}  # fmt: skip
DATATYPES = frozenset({"BYTES", *NUMPY})
DATATYPE_OF = {"f": "FP32", "d": "FP64", "?": "BOOL", "l": "INT64", "q": "INT64", "i": "INT32", "O": "BYTES"}
"""V2 datatype by NumPy's character of an output's dtype."""


@dataclass(slots=True)
class Tensor:
    """One input of a V2 request.

    Attributes:
        name: The field's name.
        datatype: The V2 datatype.
        shape: [N] or [N, 1]; of images also [N, height, width, channels]; of all numeric inputs together [N, F].
        values: N values: a list of JSON values, as nested as it came; of bytes, where they were sent raw; or an array
            read from raw bytes.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    values: Any


def check_head(name: Any, datatype: Any, shape: Any) -> None:
    """Checks a tensor's name, datatype and shape.

    Raises:
        RequestInvalidError: One of them is of a wrong kind.
    """
    if type(name) is not str or not name:
        raise RequestInvalidError(f"an input has the name {shorten(name)}; give each input a field's name")
    if type(datatype) is not str or datatype not in DATATYPES:
        allowed = ", ".join(sorted(DATATYPES))
        raise RequestInvalidError(f"input {name!r} has the datatype {shorten(datatype)}; allowed are {allowed}")
    if type(shape) is not list or not shape or any(type(size) is not int or size < 0 for size in shape):
        raise RequestInvalidError(f"input {name!r} has the shape {shorten(shape)}; send [N] or [N, 1]")


def flatten(name: str, data: Any) -> list[Any]:
    """Flattens the JSON data of a tensor of shape [N] or [N, 1].

    Raises:
        RequestInvalidError: It is no array, or ragged.
    """
    if type(data) is not list:
        raise RequestInvalidError(f"input {name!r} has the data {shorten(data)}; send an array")
    if data and type(data[0]) is list:
        if any(type(row) is not list or len(row) != 1 for row in data):
            raise RequestInvalidError(f"the data of input {name!r} is ragged; send N values, or N arrays of one value")
        return [row[0] for row in data]
    return data


def read_raw(name: str, datatype: str, raw: bytes | memoryview) -> Any:
    """Reads the raw bytes of a tensor.

    Returns:
        An array, without a copy; for BYTES a list of bytes.

    Raises:
        RequestInvalidError: The length does not fit the datatype.
    """
    if datatype == "BYTES":
        return _read_strings(name, raw)
    dtype = NUMPY[datatype]
    if len(raw) % dtype.itemsize:
        raise RequestInvalidError(
            f"input {name!r} has {len(raw)} raw bytes, which is no multiple of {datatype}'s {dtype.itemsize}"
        )
    return np.frombuffer(raw, dtype)


def _read_strings(name: str, raw: bytes | memoryview) -> list[bytes]:
    values, offset, view = [], 0, memoryview(raw)
    while offset < len(view):
        length = struct.unpack_from("<I", view, offset)[0] if offset + 4 <= len(view) else -1
        offset += 4
        if length < 0 or offset + length > len(view):
            raise RequestInvalidError(
                f"the raw bytes of input {name!r} end within a string; send each as its length (4 bytes, little-endian)"
                " and its UTF-8 bytes"
            )
        values.append(bytes(view[offset : offset + length]))
        offset += length
    return values


def decode_text(name: str, value: bytes) -> str:
    """Decodes one string of a BYTES tensor.

    Raises:
        RequestInvalidError: It is not UTF-8.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise RequestInvalidError(f"input {name!r} holds bytes that are not UTF-8: {shorten(value)}") from None


def columns_of(tensors: Sequence[Tensor], schema: Schema, maximum_rows: int) -> tuple[Mapping[str, Any], int]:
    """Turns the tensors of a request into columns.

    Args:
        tensors: One per field; or one of all fields, where they are the model's numeric inputs.
        schema: The fields.
        maximum_rows: More rows are refused.

    Returns:
        One column per field, and the number of rows.

    Raises:
        RequestInvalidError: A field is unknown, lacking, given twice, of a wrong datatype, or of another length.
        TooLargeError: There are too many rows.
    """
    if schema.matrix and len(tensors) == 1 and tensors[0].name == MATRIX:
        return _matrix_of(tensors[0], schema, maximum_rows)
    names = [tensor.name for tensor in tensors]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestInvalidError(f"input {twice!r} is given twice; send each field once")
    schema.check_names(names, "the request's inputs")
    rows = _rows(tensors, schema, maximum_rows)
    return {tensor.name: _column(tensor, schema) for tensor in tensors}, rows


def _matrix_of(tensor: Tensor, schema: Schema, maximum_rows: int) -> tuple[Mapping[str, Any], int]:
    width = len(schema.matrix)
    if len(tensor.shape) != 2 or tensor.shape[1] != width:  # noqa: PLR2004
        raise RequestInvalidError(f"input {MATRIX!r} has the shape {list(tensor.shape)}; the model takes [N, {width}]")
    if tensor.datatype not in FLOATS and tensor.datatype not in INTEGERS:
        allowed = ", ".join(sorted(FLOATS | INTEGERS))
        raise RequestInvalidError(f"input {MATRIX!r} has the datatype {tensor.datatype}; allowed are {allowed}")
    rows = check_rows(tensor.shape[0], maximum_rows)
    if isinstance(tensor.values, np.ndarray):
        if tensor.values.size != rows * width:
            shape = list(tensor.shape)
            raise RequestInvalidError(f"input {MATRIX!r} has the shape {shape} but {tensor.values.size} values")
        return matrix.read_array(tensor.values, schema, rows), rows
    return matrix.read_values(matrix.flatten(tensor.values, rows, width), schema, rows), rows


def _rows(tensors: Sequence[Tensor], schema: Schema, maximum_rows: int) -> int:
    for tensor in tensors:
        if schema.fields[tensor.name].image:  # whose values are counted with its pixels
            continue
        if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.shape[1] != 1):  # noqa: PLR2004
            shape = list(tensor.shape)
            raise RequestInvalidError(
                f"input {tensor.name!r} has the shape {shape}; send one value per row: [N] or [N, 1]"
            )
        if not isinstance(tensor.values, np.ndarray):
            tensor.values = flatten(tensor.name, tensor.values)
        if len(tensor.values) != tensor.shape[0]:
            raise RequestInvalidError(
                f"input {tensor.name!r} has the shape {list(tensor.shape)} but {len(tensor.values)} values"
            )
    rows = {tensor.shape[0] for tensor in tensors}
    if len(rows) != 1:
        lengths = ", ".join(f"{tensor.name} {tensor.shape[0]}" for tensor in tensors)
        raise RequestInvalidError(f"the inputs have different lengths ({lengths}); send one value per row in each")
    return check_rows(rows.pop(), maximum_rows)


def check_rows(rows: int, maximum_rows: int) -> int:
    """Checks the number of rows, and gives it.

    Raises:
        RequestInvalidError: There are none.
        TooLargeError: There are too many.
    """
    if rows == 0:
        raise RequestInvalidError("the request has no rows; send at least one")
    if rows > maximum_rows:
        raise TooLargeError(f"the request has {rows} rows; at most {maximum_rows} are allowed: send several requests")
    return rows


def _column(tensor: Tensor, schema: Schema) -> Any:
    kind = schema.fields[tensor.name]
    if tensor.datatype not in kind.datatypes:
        allowed = ", ".join(sorted(kind.datatypes))
        raise RequestInvalidError(
            f"input {tensor.name!r} holds {kind.name} values and has the datatype {tensor.datatype}; "
            f"allowed are {allowed}"
        )
    if kind.image:
        return read_tensor(tensor.name, tensor.datatype, tensor.shape, tensor.values, kind.image)
    if isinstance(tensor.values, np.ndarray):
        if kind is NUMBER:
            return schema.read_numbers(tensor.name, tensor.values)
        return schema.read(tensor.name, tensor.values.tolist())
    if tensor.values and type(tensor.values[0]) is bytes:
        return schema.read(tensor.name, [decode_text(tensor.name, value) for value in tensor.values])
    return schema.read(tensor.name, tensor.values)


def write_raw(values: np.ndarray) -> bytes:
    """The raw bytes of an output, little-endian; each text after its length."""
    if values.dtype.kind == "O":
        texts = [text.encode() for text in values]
        return b"".join(part for text in texts for part in (struct.pack("<I", len(text)), text))
    return values.astype(NUMPY[datatype_of(values)], copy=False).tobytes()


def datatype_of(values: np.ndarray) -> str:
    """The V2 datatype of an output."""
    return DATATYPE_OF[values.dtype.char]

"""Images in requests: how a client may write them, and what the prediction log remembers of them.

V1 and V2 JSON   {"b64": "…"} (as TensorFlow Serving has it), a base64 string, or nested arrays of whole numbers
V2 raw, gRPC     BYTES: the PNG or JPEG files themselves; UINT8: pixels [N, height, width, channels]
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from fairlead_serving.errors import RequestInvalidError

DATATYPES = frozenset({"BYTES", "UINT8"})
EXPECTED = '{"b64": "…"} with the base64 of a PNG or JPEG file, or nested arrays of whole numbers from 0 to 255'


def read_image(value: Any) -> bytes | np.ndarray:
    """Reads one JSON value.

    Returns:
        A file's bytes, or pixels; whether they are an image of the right size is checked when they are encoded.

    Raises:
        ValueError: It is neither; the text says what is expected.
    """
    if type(value) is dict and value.keys() == {"b64"}:
        value = value["b64"]
    if type(value) is str:
        return _decode(value)
    if type(value) is list:
        return _pixels(value)
    raise ValueError(EXPECTED)


def _decode(text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(EXPECTED) from None
    if not content:
        raise ValueError(EXPECTED)
    return content


def _pixels(value: list[Any]) -> np.ndarray:
    try:
        pixels = np.array(value)
    except ValueError:  # ragged
        raise ValueError(EXPECTED) from None
    if pixels.dtype.kind not in "iu" or ((pixels < 0) | (pixels > 255)).any():  # noqa: PLR2004
        raise ValueError(EXPECTED)
    return pixels.astype(np.uint8)


def read_tensor(name: str, datatype: str, shape: Sequence[int], values: Any, image: Sequence[int]) -> Any:
    """Reads a V2 tensor of images.

    Args:
        name: The field.
        datatype: `BYTES` or `UINT8`.
        shape: The tensor's, as it was sent.
        values: JSON values, bytes of files, or an array of pixels.
        image: Height, width and channels that the model takes.

    Returns:
        N files or images, or pixels uint8 (N, height, width, channels).

    Raises:
        RequestInvalidError: Shape or values do not fit.
    """
    if datatype == "BYTES":
        return _files(name, shape, values)
    wanted = [[shape[0], *image], *([[shape[0], *image[:2]]] if image[2] == 1 else [])]
    if list(shape) not in wanted:
        expected = "[N, " + ", ".join(map(str, image)) + "]"
        raise RequestInvalidError(f"input {name!r} has the shape {list(shape)}; the model takes pixels {expected}")
    try:
        pixels = values if isinstance(values, np.ndarray) else _pixels(values)
    except ValueError:
        raise RequestInvalidError(f"the data of input {name!r} is ragged or no whole numbers from 0 to 255") from None
    if pixels.size != np.prod(shape):
        raise RequestInvalidError(f"input {name!r} has the shape {list(shape)} but {pixels.size} values")
    return pixels.reshape(shape[0], *image)


def _files(name: str, shape: Sequence[int], values: Any) -> list[Any]:
    if len(shape) > 2 or list(shape[1:]) not in ([], [1]):  # noqa: PLR2004
        raise RequestInvalidError(f"input {name!r} has the shape {list(shape)}; send one file per row: [N] or [N, 1]")
    if type(values) is not list:
        raise RequestInvalidError(f"the data of input {name!r} must be an array of base64 strings")
    flat = [row[0] if type(row) is list and len(row) == 1 else row for row in values]
    if len(flat) != shape[0]:
        raise RequestInvalidError(f"input {name!r} has the shape {list(shape)} but {len(flat)} values")
    try:
        return [value if type(value) is bytes else read_image(value) for value in flat]
    except ValueError as error:
        raise RequestInvalidError(f"a value of input {name!r} is no image; send {error}") from None


def remember(values: Any) -> list[str]:
    """What the prediction log holds of images: their digests, `sha256:…` of a file as it came, or of the pixels."""
    return [f"sha256:{hashlib.sha256(_bytes_of(value)).hexdigest()}" for value in values]


def _bytes_of(value: Any) -> bytes | memoryview:
    return value if isinstance(value, bytes) else np.ascontiguousarray(value).data

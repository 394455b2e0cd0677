"""Images as models take them: uint8 arrays, given as such or as encoded files."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from fairlead_serving.inputs import InputInvalidError

FORMATS = ("PNG", "JPEG")
MODES = {1: "L", 3: "RGB"}


def read_images(name: str, values: "Sequence[Any] | np.ndarray", shape: Sequence[int]) -> np.ndarray:
    """Turns a column of images into a tensor.

    Args:
        name: The input's name, for errors.
        values: N images: PNG or JPEG files as bytes, or whole numbers from 0 to 255 in arrays or nested lists of the
            shape (height, width, channels); one channel may be left out.
        shape: What the model takes: height, width, channels.

    Returns:
        uint8 (N, height, width, channels).

    Raises:
        InputInvalidError: A value is no image of this size.
    """
    height, width, channels = shape
    if isinstance(values, np.ndarray) and values.dtype != object:
        return _check(name, values, (height, width, channels))
    images = [_read_one(f"{name}[{row}]", value, (height, width, channels)) for row, value in enumerate(values)]
    return np.stack(images) if images else np.zeros((0, height, width, channels), np.uint8)


def read_picture(content: bytes) -> np.ndarray:
    """Decodes a PNG or JPEG file of any size.

    Args:
        content: The file.

    Returns:
        uint8 (height, width, channels); one channel where the file is grey, else three.

    Raises:
        InputInvalidError: It is no such file, or not whole.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            channels = 1 if image.mode in ("1", "L") else 3
            pixels = np.asarray(image.convert(MODES[channels]), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InputInvalidError(f"no readable {' or '.join(FORMATS)} file of {len(content)} bytes") from None
    return pixels.reshape(*pixels.shape[:2], channels)


def write_png(pixels: np.ndarray) -> bytes:
    """Encodes one image as a PNG file, the same bytes for the same pixels.

    Args:
        pixels: uint8 (height, width) or (height, width, 1 or 3).
    """
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.ndim == len(MODES) + 1 and pixels.shape[2] == 1 else pixels).save(
        stream, "PNG", compress_level=6
    )
    return stream.getvalue()


def _read_one(where: str, value: Any, shape: tuple[int, int, int]) -> np.ndarray:
    if isinstance(value, bytes | bytearray | memoryview):
        return _decode(where, bytes(value), shape)
    if value is None:
        raise InputInvalidError(f"{where} is missing; an image cannot be left out")
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputInvalidError(f"{where} is ragged; give {_wanted(shape)}") from None
    (checked,) = _check(where, array[None], shape)
    return np.asarray(checked)


def _decode(where: str, content: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes a file; its size is checked before its pixels are read, so that a bomb costs nothing."""
    from PIL import Image, UnidentifiedImageError

    height, width, channels = shape
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.size != (width, height):
                raise InputInvalidError(
                    f"{where} is an image of {image.size[1]} x {image.size[0]} pixels (height x width); the model "
                    f"takes {height} x {width}"
                )
            return np.asarray(image.convert(MODES[channels]), dtype=np.uint8).reshape(shape)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputInvalidError):
            raise
        raise InputInvalidError(f"{where} is no readable {' or '.join(FORMATS)} file of {len(content)} bytes") from None


def _check(where: str, array: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Checks an array of images, (N, height, width[, channels])."""
    if array.ndim == len(shape) and shape[2] == 1:
        array = array[..., None]
    if array.shape[1:] != shape:
        raise InputInvalidError(f"{where} has shape {list(array.shape[1:])} a row; give {_wanted(shape)}")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iuf" or not ((array >= 0) & (array <= 255) & (array == np.floor(array))).all():  # noqa: PLR2004
        raise InputInvalidError(f"{where} must hold whole numbers from 0 to 255")
    return array.astype(np.uint8)


def _wanted(shape: tuple[int, int, int]) -> str:
    return f"{list(shape)} (height, width, channels), or PNG or JPEG bytes"

"""Numbers that describe a picture, by which pictures can be cut into slices: dark ones, faint ones, blurred ones."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead.errors import SchemaError
from fairlead.evaluation.rows import IMAGE_BATCH_ROWS, encoded, joined, read_batches
from fairlead_serving.images import read_images
from fairlead_serving.inputs import InputInvalidError
from fairlead_serving.package import ModelInput

if TYPE_CHECKING:
    import pyarrow as pa

WHITE = 255.0


def _brightness(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels.mean(axis=(1, 2)) / WHITE)


def _contrast(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels.std(axis=(1, 2)) / WHITE)


def _sharpness(pixels: np.ndarray) -> np.ndarray:
    """How much neighbouring pixels differ, by how much pixels differ at all."""
    steps = [np.abs(np.diff(pixels, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2) if pixels.shape[axis] > 1]
    return np.asarray(np.sum(steps, axis=0) / np.maximum(pixels.std(axis=(1, 2)), 1.0))


TRAITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "sharpness": _sharpness,
}
"""By name, of grey pixels float32 (N, H, W) from 0 to 255, (N,): brightness and contrast are mean and standard
deviation as shares of white."""


def trait_names(images: Iterable[ModelInput]) -> list[str]:
    """The columns that pictures give besides themselves: `image.brightness`."""
    return [f"{image.name}.{trait}" for image in images for trait in TRAITS]


def read_traits(
    path: Path | str, images: Sequence[ModelInput], wanted: Iterable[str]
) -> "dict[str, pa.DictionaryArray]":
    """Measures the pictures of a dataset, streaming.

    Args:
        path: The dataset's folder.
        images: The inputs that hold pictures.
        wanted: Some of `trait_names`.

    Returns:
        By name, one number a row, to four digits after the point.

    Raises:
        SchemaError: A value is no picture of the input's size.
        SourceError: The dataset is unfinished or corrupt.
    """
    import pyarrow as pa

    parts: dict[str, list[pa.DictionaryArray]] = {name: [] for name in wanted}
    inputs = [image for image in images if any(name.startswith(f"{image.name}.") for name in parts)]
    for batch in read_batches(path, [image.name for image in inputs], IMAGE_BATCH_ROWS) if parts else ():
        for image in inputs:
            grey = _grey(batch.column(image.name), image)
            for trait, measure in TRAITS.items():
                if f"{image.name}.{trait}" in parts:
                    parts[f"{image.name}.{trait}"].append(encoded(pa.array(np.round(measure(grey), 4).astype(float))))
    return {name: joined(pieces) for name, pieces in parts.items() if pieces}


def _grey(column: "pa.Array", image: ModelInput) -> np.ndarray:
    try:
        pixels = read_images(image.name, column.to_numpy(zero_copy_only=False), image.shape)
    except InputInvalidError as error:
        raise SchemaError(f"the model cannot take these rows: {error}") from None
    return np.asarray(pixels.mean(axis=-1, dtype=np.float32))

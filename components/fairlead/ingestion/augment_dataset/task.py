"""Adds changed copies of its pictures to a training set, streaming."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import datasets
from fairlead.datasets import DatasetManifest
from fairlead.errors import DataError, SchemaError, nearest
from fairlead.ingestion.augment_dataset.report import write_report
from fairlead.ingestion.augment_dataset.spec import AugmentationSpec
from fairlead.ingestion.scanning import Rows
from fairlead.progress import step
from fairlead_serving.images import read_picture, write_png
from fairlead_serving.inputs import InputInvalidError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 256
SHOWN = 6

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def augment(
    dataset: Path | str, augmented: Path | str, report: Path | str, augmentation: Mapping[str, Any]
) -> DatasetManifest:
    """Writes a dataset with its pictures and changed copies of them.

    Args:
        dataset: The dataset's folder.
        augmented: The folder to write.
        report: The HTML page to write.
        augmentation: The fields of AugmentationSpec.

    Returns:
        The manifest of what was written; it has (1 + copies) times the rows.

    Raises:
        ConfigurationError: A field is wrong.
        SourceError: The dataset is unfinished or corrupt.
        SchemaError: There is no such column of images.
        DataError: A picture cannot be read.
    """
    spec = AugmentationSpec.parse(augmentation, "augmentation")
    rows = Rows(dataset)
    _check_column(rows, spec.column)
    shown: list[list[bytes]] = []
    manifest = datasets.write_dataset(
        augmented, _batches(rows, spec, shown), rows.schema, name=rows.manifest.name, source=rows.manifest.source,
        licence=rows.manifest.licence, time_column=rows.manifest.time_column,
    )  # fmt: skip
    write_report(report, rows.manifest, manifest, spec, shown)
    return manifest


def _check_column(rows: Rows, column: str) -> None:
    import pyarrow as pa

    if column not in rows.schema.names:
        raise SchemaError(f"the dataset has no column {column!r}; {nearest(column, rows.schema.names)}")
    if not pa.types.is_binary(rows.schema.field(column).type):
        kind = rows.schema.field(column).type
        raise SchemaError(f"column {column!r} is {kind}; augmentation.column names a column of PNG or JPEG files")


def _batches(rows: Rows, spec: AugmentationSpec, shown: list[list[bytes]]) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    first = 0
    with step("changing pictures", total=rows.manifest.row_count) as progress:
        for batch in rows.batches(BATCH_ROWS):
            families = [
                [content, *change(content, spec, first + row)]
                for row, content in enumerate(batch.column(spec.column).to_pylist())
            ]
            shown.extend(families[: SHOWN - len(shown)])
            repeated = batch.take(np.repeat(np.arange(batch.num_rows), spec.copies + 1))
            images = pa.array([*itertools.chain(*families)], batch.schema.field(spec.column).type)
            yield repeated.set_column(
                batch.schema.get_field_index(spec.column), batch.schema.field(spec.column), images
            )
            first += batch.num_rows
            progress.advance(batch.num_rows)


def change(content: bytes | None, spec: AugmentationSpec, row: int) -> list[bytes]:
    """Makes the changed copies of one picture.

    Args:
        content: A PNG or JPEG file.
        spec: How far they may differ.
        row: The row's number in the dataset; with the seed it decides what is random.

    Returns:
        So many PNG files as there are copies; what comes in from outside the picture repeats its edge.

    Raises:
        DataError: The picture is missing or cannot be read.
    """
    if not spec.copies:
        return []
    pixels = _decode(content, row)
    chance = np.random.default_rng([spec.seed, row])
    return [
        write_png(_transform(pixels, _matrix(spec, chance), _shift(spec, chance, pixels))) for _ in range(spec.copies)
    ]


def _decode(content: bytes | None, row: int) -> Pixels:
    try:
        return read_picture(content or b"")
    except InputInvalidError as error:
        raise DataError(f"row {row + 1}: {error}; correct or remove it") from None


def _matrix(spec: AugmentationSpec, chance: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A turn, a change of size and a shear, as a matrix over (row, column)."""
    angle = np.deg2rad(chance.uniform(-spec.rotate_degrees, spec.rotate_degrees))
    size, shear = chance.uniform(1 - spec.scale, 1 + spec.scale), chance.uniform(-spec.shear, spec.shear)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(turn @ np.array([[1.0, 0.0], [shear, 1.0]]) / size)


def _shift(
    spec: AugmentationSpec, chance: np.random.Generator, pixels: Pixels
) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(chance.uniform(-spec.shift, spec.shift, 2) * pixels.shape[:2])


def _transform(
    pixels: Pixels, matrix: np.ndarray[Any, np.dtype[np.float64]], shift: np.ndarray[Any, np.dtype[np.float64]]
) -> Pixels:
    """Applies a matrix around the middle of the picture, then a shift, with linear interpolation."""
    from scipy.ndimage import affine_transform

    middle = (np.array(pixels.shape[:2]) - 1) / 2
    offset = middle - matrix @ middle + shift
    planes = [pixels[..., n].astype(np.float32) for n in range(pixels.shape[2])]
    changed = [affine_transform(plane, matrix, offset, order=1, mode="nearest") for plane in planes]
    return np.stack([np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in changed], axis=-1)

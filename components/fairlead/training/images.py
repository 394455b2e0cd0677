"""Datasets with a column of pictures as arrays: what an image recipe trains on.

Files are decoded batch by batch into one array of bytes, a quarter of what floats would take; scaling happens in the
model. Where the array would take more than half of the memory that is free, it lies in a file that the system pages in
and out (and that is gone when the process is).
"""

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import datasets
from fairlead.errors import DataError
from fairlead.training.labels import check_label, encode_label, fit_classes
from fairlead.training.spec import ModelSpec
from fairlead.training.tabular import check_present, check_types, latest_rows, wanted_columns
from fairlead_serving.images import FORMATS, read_images
from fairlead_serving.inputs import InputInvalidError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 256
MOST_PIXELS = 4096 * 4096
GREY = {"1", "L", "LA", "I", "I;16"}
LARGEST_SHARE = 0.5  # of the free memory

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures.

    Attributes:
        pixels: uint8 (N, height, width, channels); of ordinary memory, or of a file where they are many.
        label: (N,): float32, or int64 class numbers for multiclass.
    """

    pixels: Pixels
    label: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.label)


def read_pair(
    train_path: Path | str, validation_path: Path | str, model: ModelSpec, label: str, latest: int | None = None
) -> tuple[Pictures, Pictures, tuple[str, ...]]:
    """Reads training and validation pictures: the data module of every recipe for images.

    Args:
        train_path: The dataset to learn from.
        validation_path: The dataset that chooses the epoch.
        model: Task and inputs.
        label: The column to predict.
        latest: Only so many of the latest training rows.

    Returns:
        Both sets of pictures, and the classes of the training rows (empty unless multiclass).

    Raises:
        SchemaError: A column is absent or of a wrong type.
        DataError: Labels will not do, a file is no picture, or the pictures are of several sizes.
    """
    values = _label_column(train_path, model, label, latest)
    classes = fit_classes(values) if model.task == "multiclass" else ()
    shape = find_shape(train_path, model.image)
    train = Pictures(
        read_pixels(train_path, model.image, shape, latest=latest), _encoded(values, model, classes, label)
    )
    values = _label_column(validation_path, model, label, None)
    validation = Pictures(read_pixels(validation_path, model.image, shape), _encoded(values, model, classes, label))
    return train, validation, classes


def _encoded(values: "pa.ChunkedArray", model: ModelSpec, classes: tuple[str, ...], label: str) -> Any:
    return encode_label(values, model.task, classes, label)


def _label_column(path: Path | str, model: ModelSpec, label: str, latest: int | None) -> "pa.ChunkedArray":
    manifest = datasets.read_manifest(path)
    check_present(wanted_columns(model, label), list(manifest.columns), manifest.name)
    check_types(datasets.scan(path).schema, model, manifest.name)
    column = datasets.read_table(path, [label])[label]
    column = column if latest is None else column.take(latest_rows(path, latest))
    check_label(column, model.task, label, manifest.name)
    return column


def find_shape(path: Path | str, column: str) -> tuple[int, int, int]:
    """Looks at the first pictures of a dataset.

    Args:
        path: The dataset.
        column: Its image column.

    Returns:
        Height, width, and channels: 1 where the first pictures are grey, 3 where one is in colour.

    Raises:
        DataError: There is no row, or a file is no picture.
    """
    from PIL import Image, UnidentifiedImageError

    first = next(iter(_batches(path, column)), None)
    if first is None:
        raise DataError(f"the dataset {path} has no rows; nothing can be learnt")
    sizes, modes = set(), set()
    for row, content in enumerate(first.column(0).to_pylist()):
        try:
            with Image.open(io.BytesIO(content or b""), formats=FORMATS) as image:
                sizes.add(image.size)
                modes.add(image.mode)
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
            raise DataError(f"row {row}: {column!r} is no readable {' or '.join(FORMATS)} file") from None
    if len(sizes) > 1:
        found = ", ".join(f"{height} x {width}" for width, height in sorted(sizes)[:4])
        raise DataError(f"{column!r} has pictures of several sizes ({found}, height x width); bring them to one size")
    ((width, height),) = sizes
    if width * height > MOST_PIXELS:
        raise DataError(f"{column!r} has pictures of {height} x {width} pixels; scale them down before training")
    return height, width, 1 if modes <= GREY else 3


def read_pixels(path: Path | str, column: str, shape: tuple[int, ...], *, latest: int | None = None) -> Pixels:
    """Decodes an image column.

    Args:
        path: The dataset.
        column: Its image column.
        shape: Height, width, channels; files with other channels are converted, other sizes are refused.
        latest: Only so many of the latest rows.

    Returns:
        uint8 (N, height, width, channels), in the dataset's order.

    Raises:
        DataError: A file is absent or no such picture (the text names its row), or there is no room for them.
    """
    wanted = None if latest is None else latest_rows(path, latest)
    count = datasets.read_manifest(path).row_count if wanted is None else len(wanted)
    pixels, filled, row = allocate((count, *shape)), 0, 0
    for batch in _batches(path, column):
        chosen = (
            np.arange(batch.num_rows)
            if wanted is None
            else wanted[(wanted >= row) & (wanted < row + batch.num_rows)] - row
        )
        if len(chosen):
            pixels[filled : filled + len(chosen)] = _decode(batch.column(0).take(chosen), chosen + row, column, shape)
        filled, row = filled + len(chosen), row + batch.num_rows
    return pixels


def _batches(path: Path | str, column: str) -> "Iterator[pa.RecordBatch]":
    scanner = datasets.scan(path).scanner(columns=[column], batch_size=BATCH, batch_readahead=1, fragment_readahead=1)
    return (batch for batch in scanner.to_batches() if batch.num_rows)


def _decode(files: "pa.Array", rows: Any, column: str, shape: tuple[int, ...]) -> Pixels:
    try:
        return read_images(column, files.to_pylist(), shape)
    except InputInvalidError:
        pass
    for row, content in zip(rows, files.to_pylist(), strict=True):
        try:
            read_images(column, [content], shape)
        except InputInvalidError as error:
            raise DataError(f"row {row}: {error}".replace(f"{column}[0]", repr(column))) from None
    raise DataError(f"rows {rows[0]} to {rows[-1]}: {column!r} cannot be read twice; is the dataset being changed?")


def allocate(shape: tuple[int, ...]) -> Pixels:
    """Makes an array of bytes in memory, or in an unnamed file where memory is short.

    Raises:
        DataError: There is room in neither.
    """
    size = int(np.prod(shape, dtype=np.int64))
    if size <= free_memory() * LARGEST_SHARE:
        return np.empty(shape, np.uint8)
    room = shutil.disk_usage(tempfile.gettempdir()).free
    if size > room * (1 - 0.05):
        raise DataError(
            f"the decoded pictures take {size / 2**30:.1f} GiB; {free_memory() / 2**30:.1f} GiB of memory and "
            f"{room / 2**30:.1f} GiB of {tempfile.gettempdir()} are free: use smaller or fewer pictures"
        )
    with tempfile.TemporaryFile() as file:  # it has no name, so nothing is left behind, whatever happens
        return np.memmap(file, np.uint8, "w+", shape=shape)


def free_memory() -> int:
    """Bytes of memory that may still be used: of the machine, or of the container where that is less."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError, StopIteration):  # no such files, or "max": there is no limit
        return free
    return min(free, max(0, limit - used))


def describe_pixels(pixels: Pixels) -> dict[str, dict[str, float | None]]:
    """Median, mean and standard deviation of each channel, from 0 to 255, over all pictures."""
    channels = pixels.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(pixels), BATCH):
        part = pixels[start : start + BATCH].reshape(-1, channels)
        for channel in range(channels):
            counts[channel] += np.bincount(part[:, channel], minlength=256)
    names = ["grey"] if channels == 1 else ["red", "green", "blue"]
    return {name: _describe(counts[channel]) for channel, name in enumerate(names)}


def _describe(counts: Any) -> dict[str, float | None]:
    values, total = np.arange(256), counts.sum()
    mean = float((values * counts).sum() / total)
    deviation = float(np.sqrt((counts * (values - mean) ** 2).sum() / total))
    median = float(np.searchsorted(np.cumsum(counts), (total + 1) / 2))
    return {"median": median, "mean": mean, "standard_deviation": deviation, "missing_share": 0.0}

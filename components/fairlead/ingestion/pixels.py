"""Tables of pixels, one column each, as tables with one column of images."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from fairlead.errors import SchemaError
from fairlead.ingestion.spec import PixelsSpec, TableSpec
from fairlead_serving.images import write_png

if TYPE_CHECKING:
    import pyarrow as pa

PIXEL_TYPE = "int16"
BRIGHTEST = 255


def with_pixel_columns(spec: TableSpec) -> TableSpec:
    """Declares the pixel columns too, where the other columns are declared: one does not write 784 lines of YAML."""
    if spec.pixels is None or not spec.columns:
        return spec
    return spec.model_copy(update={"columns": {**spec.columns, **dict.fromkeys(spec.pixels.names, PIXEL_TYPE)}})


def packed_schema(schema: "pa.Schema", pixels: PixelsSpec, label: str) -> "pa.Schema":
    """The schema after packing: the image first, then all columns that are no pixels.

    Args:
        schema: As the files have it.
        pixels: Which columns are the pixels.
        label: The source, for messages.

    Raises:
        SchemaError: A pixel column is absent, or the image's name is taken.
    """
    import pyarrow as pa

    absent = [name for name in pixels.names if name not in schema.names]
    if absent:
        raise SchemaError(
            f"{label} lacks {len(absent)} of {len(pixels.names)} pixel columns, {absent[0]!r} first; correct "
            "`pixels.prefix` or `pixels.shape`"
        )
    others = [field for field in schema if field.name not in set(pixels.names)]
    if pixels.column in {field.name for field in others}:
        raise SchemaError(f"{label} has a column {pixels.column!r} already; set `pixels.column` to another name")
    return pa.schema([(pixels.column, pa.binary()), *others])


def pack(batches: "Iterable[pa.RecordBatch]", schema: "pa.Schema", pixels: PixelsSpec) -> "Iterator[pa.RecordBatch]":
    """Turns pixel columns into PNG files.

    Args:
        batches: Rows with the pixel columns.
        schema: Of `packed_schema`.
        pixels: Which columns are the pixels.

    Yields:
        Rows of that schema; the image is a PNG file, the same bytes for the same pixels.

    Raises:
        SchemaError: A pixel is missing or no whole number from 0 to 255.
    """
    import pyarrow as pa

    first = 1
    for batch in batches:
        images = pa.array(_images(batch, pixels, first), pa.binary())
        others = [batch.column(name) for name in schema.names[1:]]
        yield pa.RecordBatch.from_arrays([images, *others], schema=schema)
        first += batch.num_rows


def _images(batch: "pa.RecordBatch", pixels: PixelsSpec, first: int) -> list[bytes]:
    columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in pixels.names]
    values = np.stack(columns, axis=1)  # (N, pixels)
    wrong = np.argwhere(~((values >= 0) & (values <= BRIGHTEST) & (values == np.floor(values))))
    if len(wrong):
        row, column = (int(n) for n in wrong[0])
        raise SchemaError(
            f"row {first + row}, column {pixels.names[column]!r}: {values[row, column]} is no pixel; pixels are whole "
            f"numbers from 0 to {BRIGHTEST}"
        )
    return [write_png(image) for image in values.astype(np.uint8).reshape(-1, *pixels.shape)]

"""A finished dataset's rows, streamed; a Parquet file that was damaged since is said in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.datasets import read_manifest, scan
from fairlead.ingestion.streams import readable

if TYPE_CHECKING:
    import pyarrow as pa

_READAHEAD = {"batch_readahead": 2, "fragment_readahead": 1}  # bounds what a scan holds in memory


class Rows:
    """The rows of a dataset.

    Args:
        path: The dataset's folder.

    Raises:
        SourceError: There is no finished dataset.
    """

    def __init__(self, path: Path | str) -> None:
        self.manifest = read_manifest(path)
        self._dataset = scan(path)
        self._label = f"dataset {path}"

    @property
    def schema(self) -> "pa.Schema":
        """The columns."""
        return self._dataset.schema

    def files(self) -> list[tuple[Path, int]]:
        """The Parquet files in order, each with its number of rows.

        Raises:
            SourceError: A file cannot be read.
        """
        with readable(self._label):
            return [(Path(part.path), part.count_rows()) for part in self._dataset.get_fragments()]

    def batches(self, size: int, columns: list[str] | None = None) -> "Iterator[pa.RecordBatch]":
        """Streams rows in order, in batches cut at the same rows every time, whatever the files.

        Args:
            size: Rows per batch; the last one may have fewer.
            columns: The columns to read; all by default.

        Yields:
            Batches.

        Raises:
            SourceError: A file cannot be read.
        """
        import pyarrow as pa

        waiting: list[pa.RecordBatch] = []
        rows = 0
        for batch in self._scanned(size, columns):
            waiting.append(batch)
            rows += batch.num_rows
            if rows >= size:
                whole = pa.Table.from_batches(waiting).combine_chunks()
                yield from whole.slice(0, size).combine_chunks().to_batches()
                waiting, rows = whole.slice(size).to_batches(), rows - size
        if rows:
            yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()

    def _scanned(self, size: int, columns: list[str] | None) -> "Iterator[pa.RecordBatch]":
        with readable(self._label):
            yield from self._dataset.to_batches(columns=columns, batch_size=size, **_READAHEAD)

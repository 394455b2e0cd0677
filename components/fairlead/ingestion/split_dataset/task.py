"""Divides a dataset into train, validation and test, and accounts for every row."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.datasets import DatasetManifest, write_dataset
from fairlead.errors import ConfigurationError, DataError, SchemaError, nearest
from fairlead.ingestion.disk import full_disk_explained
from fairlead.ingestion.scanning import Rows
from fairlead.ingestion.spec import SplitSpec
from fairlead.ingestion.split_dataset.assignment import (
    LEFT_OUT,
    OUTCOMES,
    SETS,
    Assigner,
    ByEntity,
    ByTime,
    Stratified,
)
from fairlead.progress import step

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 65_536
_SHOWN = 10
_CLASSES = 2  # a set with fewer distinct labels can neither train nor judge a model
_LABELS_KEPT = 1000  # distinct labels remembered per set: enough to tell one from several


@dataclass(frozen=True)
class Split:
    """Where every row went.

    Attributes:
        sets: The manifests of train, validation and test.
        left_out: Rows in no set, by reason.
        total: Rows of the dataset: those in the sets and those left out.
    """

    sets: dict[str, DatasetManifest]
    left_out: dict[str, int]
    total: int

    def metadata(self, name: str) -> dict[str, str | int]:
        """One set's manifest and the account of all rows as flat values, for its KFP artifact's metadata."""
        rows = {f"{part}_rows": manifest.row_count for part, manifest in self.sets.items()}
        reasons = {f"left_out_{reason}": count for reason, count in self.left_out.items()}
        return {**self.sets[name].metadata(), **rows, **reasons, "total_rows": self.total}


@dataclass
class _Account:
    """What the first pass over the rows counted."""

    outcomes: "Counter[str]"
    labels: dict[str, set[Any]]
    total: int


def split(path: Path | str, targets: Mapping[str, Path | str], spec: Mapping[str, Any], label: str = "") -> Split:
    """Divides a dataset, streaming; order is kept within each set.

    Args:
        path: The dataset's folder.
        targets: The folders to make: `train`, `validation`, `test`.
        spec: The fields of SplitSpec.
        label: The label's column; each set must have two of its classes. Empty: labels are not looked at.

    Returns:
        Where every row went.

    Raises:
        ConfigurationError: The spec has a wrong key, or bounds that overlap.
        SchemaError: The deciding column is absent or, by time, no timestamp.
        DataError: The deciding column or the label has missing values, a set is empty or has one class only.
        SourceError: The dataset is unfinished or corrupt.
        StateError: The disk is full.
    """
    parsed = SplitSpec.parse(spec, where="split")
    rows = Rows(path)
    column = _deciding_column(parsed, rows.schema, label)
    counts = _count_labels(rows, column) if parsed.by == "stratified" else Counter()
    account = _count(rows, column, label, _assigner(parsed, counts))
    _refuse(account, rows.manifest, column, label)
    sets = {name: _write(name, targets[name], rows, column, _assigner(parsed, counts)) for name in SETS}
    left_out = {reason: account.outcomes[reason] for reason in LEFT_OUT if parsed.by == "time"}
    return Split(sets, left_out, account.total)


def _assigner(spec: SplitSpec, counts: "Counter[Any]") -> Assigner:
    if spec.by == "stratified":
        return Stratified(spec, counts)
    return ByTime(spec) if spec.by == "time" else ByEntity(spec)


def _deciding_column(spec: SplitSpec, schema: "pa.Schema", label: str) -> str:
    """The column that decides, checked, as is the label's."""
    import pyarrow as pa

    column = spec.column or label
    if not column:
        raise ConfigurationError("split: a stratified split needs a label; give `label`, or `column` in the split")
    for name in filter(None, (column, label)):
        if name not in schema.names:
            raise SchemaError(f"split: there is no column {name!r}; {nearest(name, schema.names)}")
    kind = schema.field(column).type
    if spec.by == "time" and not pa.types.is_timestamp(kind):
        raise SchemaError(f"split: column {column!r} is {kind}; a split by time needs a timestamp")
    if spec.by == "stratified" and pa.types.is_floating(kind):
        raise SchemaError(f"split: column {column!r} is {kind}; a stratified split needs classes, not measurements")
    return column


def _count_labels(rows: Rows, column: str) -> "Counter[Any]":
    counts: Counter[Any] = Counter()
    row = 1
    for batch in rows.batches(_BATCH_ROWS, [column]):
        _refuse_missing(batch.column(0), column, row)
        for entry in batch.column(0).value_counts().to_pylist():
            counts[entry["values"]] += entry["counts"]
        row += batch.num_rows
    return counts


def _count(rows: Rows, column: str, label: str, assigner: Assigner) -> _Account:
    """The first pass: where rows go, and which labels each set has."""
    import numpy as np

    account = _Account(Counter(), {name: set() for name in SETS}, 0)
    wanted = list(dict.fromkeys(filter(None, (column, label))))
    for batch in rows.batches(_BATCH_ROWS, wanted):
        for name in wanted:
            _refuse_missing(batch.column(name), name, account.total + 1)
        codes = assigner.assign(batch.column(column))
        for code, count in enumerate(np.bincount(codes, minlength=len(OUTCOMES)).tolist()):
            account.outcomes[OUTCOMES[code]] += count
        if label:
            _note_labels(batch.column(label), codes, account.labels)
        account.total += batch.num_rows
    return account


def _note_labels(column: "pa.Array", codes: Any, labels: dict[str, set[Any]]) -> None:
    import pyarrow as pa

    for code, name in enumerate(SETS):
        if len(labels[name]) < _LABELS_KEPT:
            labels[name].update(column.filter(pa.array(codes == code)).unique().to_pylist())


def _refuse_missing(column: "pa.Array", name: str, first_row: int) -> None:
    import numpy as np
    import pyarrow.compute as pc

    missing = np.flatnonzero(pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False))
    if len(missing):
        rows = ", ".join(str(first_row + int(index)) for index in missing[:_SHOWN])
        raise DataError(
            f"split: column {name!r} has missing values (first in rows {rows}; rows are counted from 1), so that "
            "these rows belong to no set; remove or fill them first"
        )


def _refuse(account: _Account, manifest: DatasetManifest, column: str, label: str) -> None:
    """Refuses a split with an empty set, or with a set that has one class."""
    placed = ", ".join(f"{name} {count}" for name, count in account.outcomes.items() if count)
    span = f"; times go from {manifest.time_range[0]} to {manifest.time_range[1]}" if manifest.time_range else ""
    for name in SETS:
        if not account.outcomes[name]:
            raise DataError(
                f"split: the {name} set of {manifest.name!r} would be empty (rows by {column!r}: {placed}{span}); "
                "change the split's bounds or fractions"
            )
        if label and len(account.labels[name]) < _CLASSES:
            only = next(iter(account.labels[name]))
            raise DataError(
                f"split: label {label!r} has one class only ({only!r}) in the {account.outcomes[name]} rows of the "
                f"{name} set; change the split's bounds or fractions, or give more data"
            )


def _write(name: str, target: Path | str, rows: Rows, column: str, assigner: Assigner) -> DatasetManifest:
    manifest = rows.manifest
    with full_disk_explained(target):
        return write_dataset(
            target,
            _rows_of(name, rows, column, assigner),
            rows.schema,
            name=manifest.name,
            source=f"{manifest.source} ({name} of {manifest.digest})",
            licence=manifest.licence,
            time_column=manifest.time_column,
        )


def _rows_of(name: str, rows: Rows, column: str, assigner: Assigner) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    wanted = SETS.index(name)
    with step(f"writing {name}", rows.manifest.row_count) as progress:
        for batch in rows.batches(_BATCH_ROWS):
            yield batch.filter(pa.array(assigner.assign(batch.column(column)) == wanted))
            progress.advance(batch.num_rows)

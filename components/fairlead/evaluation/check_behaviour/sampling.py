"""The rows that behaviour is tested on: drawn from a dataset by filters, or given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import datasets
from fairlead.errors import ConfigurationError, SchemaError, nearest
from fairlead.evaluation.behaviour_spec import BehaviourTestSpec, FilterSpec
from fairlead.evaluation.check_behaviour.changes import Columns
from fairlead.evaluation.grouping import said
from fairlead.evaluation.labels import read_labels
from fairlead.evaluation.rows import IMAGE_BATCH_ROWS, read_batches
from fairlead_serving.images import read_images
from fairlead_serving.inputs import InputInvalidError
from fairlead_serving.package import Manifest, ModelInput

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Cases:
    """The rows of one test.

    Attributes:
        columns: The model's inputs.
        labels: (N,) as `scoring.Scores` has them; None where given rows have none.
        shown: What a report tells of each row besides what was changed: values of filtered columns, by name.
        matching: How many rows of the dataset pass the filter.
    """

    columns: Columns
    labels: np.ndarray | None
    shown: Mapping[str, Sequence[Any]]
    matching: int

    def __len__(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values())))

    def take(self, rows: np.ndarray) -> "Cases":
        """Some of the rows, by position."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        shown = {name: [values[row] for row in rows.tolist()] for name, values in self.shown.items()}
        return Cases(columns, None if self.labels is None else self.labels[rows], shown, self.matching)


def draw_cases(
    path: Path | str, label: str, manifest: Manifest, tests: Sequence[BehaviourTestSpec], seed: int
) -> list[Cases]:
    """Draws the rows of tests from a dataset.

    Args:
        path: The dataset's folder.
        label: The label's column.
        manifest: The model's.
        tests: Those on real rows.
        seed: Of the draws; what one test draws does not depend on the others.

    Returns:
        The rows of each test, in the dataset's order.

    Raises:
        SchemaError: A filter's column is absent, or holds no numbers where a bound is set.
        DataError: A label is missing or none of the task.
        SourceError: The dataset is unfinished or corrupt.
    """
    _check_filters(path, tests, manifest)
    masks = _masks(path, label, tests)
    chosen = [_draw(mask, test.sample, (seed, *test.name.encode())) for mask, test in zip(masks, tests, strict=True)]
    union = np.unique(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)
    table = _take(path, [label, *(i.name for i in manifest.inputs), *(c for t in tests for c in t.where)], union)
    found = []
    for test, mask, rows in zip(tests, masks, chosen, strict=True):
        part = table.take(np.searchsorted(union, rows))
        shown = {column: part.column(column).to_pylist() for column in test.where if column not in _pictures(manifest)}
        labels = _labels(part, label, manifest)
        found.append(Cases(input_columns(part, manifest), labels, shown, int(mask.sum())))
    return found


def given_cases(test: BehaviourTestSpec, label: str, manifest: Manifest) -> Cases:
    """The rows that a test gives itself.

    Raises:
        ConfigurationError: A key is no input of the model (nor the label), or the model takes pictures.
    """
    import pyarrow as pa

    if manifest.images:
        raise ConfigurationError(f"behaviour test {test.name!r} gives rows, and pictures cannot be written into YAML")
    known = [*(i.name for i in manifest.inputs), label]
    for row in test.rows:
        for key in row:
            if key not in known:
                raise ConfigurationError(
                    f"behaviour test {test.name!r} gives {key!r}, which is no input of the model; {nearest(key, known)}"
                )
    columns = {}
    for i in manifest.inputs:
        values = [row.get(i.name) for row in test.rows]
        kind = pa.float64() if i.kind == "numeric" else pa.string()
        columns[i.name] = pa.array([v if v is None or i.kind == "numeric" else said(v) for v in values], kind)
    named = [row.get(label) for row in test.rows]
    labels = None
    if all(value is not None for value in named):
        values = [said(v) for v in named] if manifest.task == "multiclass" else named
        labels = _labels(pa.table({label: values}), label, manifest)
    return Cases(input_columns(pa.table(columns), manifest), labels, {}, len(test.rows))


def input_columns(table: "pa.Table", manifest: Manifest) -> Columns:
    """The model's inputs as tests change them; see `changes.Columns`.

    Raises:
        SchemaError: A column holds what the model cannot take.
    """
    return {i.name: _input(table.column(i.name), i) for i in manifest.inputs}


def _input(column: "pa.ChunkedArray", wanted: ModelInput) -> np.ndarray:
    import pyarrow as pa

    try:
        if wanted.kind == "numeric":
            return np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
        if wanted.kind == "image":
            return read_images(wanted.name, column.to_pylist(), wanted.shape)
        return np.array([*column.cast(pa.string()).to_pylist(), None], dtype=object)[:-1]
    except (pa.ArrowException, InputInvalidError) as error:
        raise SchemaError(f"column {wanted.name!r} does not fit the model: {error}") from None


def _labels(table: "pa.Table", label: str, manifest: Manifest) -> np.ndarray:
    batches = table.select([label]).combine_chunks().to_batches()
    parts = [read_labels(batch, label, manifest.task, manifest.classes) for batch in batches]
    return np.concatenate(parts) if parts else np.zeros(0)


def _pictures(manifest: Manifest) -> set[str]:
    return {i.name for i in manifest.images}


def _check_filters(path: Path | str, tests: Sequence[BehaviourTestSpec], manifest: Manifest) -> None:
    present = list(datasets.read_manifest(path).columns)
    for test in tests:
        for column in test.where:
            if column not in present or column in _pictures(manifest):
                hint = nearest(column, set(present) - _pictures(manifest))
                raise SchemaError(f"behaviour test {test.name!r} filters by {column!r}, which cannot be done; {hint}")


def _masks(path: Path | str, label: str, tests: Sequence[BehaviourTestSpec]) -> list[np.ndarray]:
    """Which rows pass each test's filter."""
    columns = list(dict.fromkeys(column for test in tests for column in test.where)) or [label]
    parts: list[list[np.ndarray]] = [[] for _ in tests]
    for batch in read_batches(path, columns):
        for test, found in zip(tests, parts, strict=True):
            mask = np.ones(batch.num_rows, dtype=bool)
            for column, wanted in test.where.items():
                mask &= passes(batch.column(column), wanted, column)
            found.append(mask)
    return [np.concatenate(found) if found else np.zeros(0, dtype=bool) for found in parts]


def passes(values: "pa.Array", wanted: FilterSpec, column: str = "") -> np.ndarray:
    """Which values pass a filter: (N,) bool.

    Raises:
        SchemaError: A bound is set, and the column holds no numbers.
    """
    import pyarrow as pa

    absent = np.asarray(values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False), dtype=bool)
    if wanted.missing is not None and not (wanted.one_of or wanted.none_of):
        mask = absent == wanted.missing
    else:
        mask = ~absent | bool(wanted.missing)
    kind = values.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if wanted.one_of or wanted.none_of:
        texts = np.array([None if v is None else said(_plain(v)) for v in values.to_pylist()], dtype=object)
        if wanted.one_of:
            mask &= np.isin(texts.astype(str), [said(_plain(v)) for v in wanted.one_of]) | (
                absent & bool(wanted.missing)
            )
        mask &= ~np.isin(texts.astype(str), [said(_plain(v)) for v in wanted.none_of])
    if wanted.at_least is not None or wanted.at_most is not None:
        if not is_number:
            raise SchemaError(
                f"column {column!r} is of type {kind}; only numbers can be bounded by at_least and at_most"
            )
        numbers = values.cast(pa.int8() if pa.types.is_boolean(kind) else kind).cast(pa.float64())
        found = numbers.to_numpy(zero_copy_only=False)
        low = -np.inf if wanted.at_least is None else wanted.at_least
        high = np.inf if wanted.at_most is None else wanted.at_most
        mask &= ((found >= low) & (found <= high)) | (absent & bool(wanted.missing))
    return np.asarray(mask)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _draw(mask: np.ndarray, most: int, seed: tuple[int, ...]) -> np.ndarray:
    rows = np.flatnonzero(mask)
    if rows.size <= most:
        return rows
    keys = np.random.default_rng(seed).random(mask.size)[rows]
    return np.sort(rows[np.argsort(keys, kind="stable")[:most]])


def _take(path: Path | str, columns: Sequence[str], rows: np.ndarray) -> "pa.Table":
    """Some rows of a dataset by position, ascending; read in batches, so that only these stay."""
    import pyarrow as pa

    wanted = list(dict.fromkeys(columns))
    schema = pa.schema([datasets.scan(path).schema.field(column) for column in wanted])
    parts, start = [], 0
    for batch in read_batches(path, wanted, IMAGE_BATCH_ROWS * 16):
        low, high = np.searchsorted(rows, [start, start + batch.num_rows])
        if high > low:
            parts.append(pa.Table.from_batches([batch]).take(pa.array(rows[low:high] - start)))
        start += batch.num_rows
    return pa.concat_tables(parts).combine_chunks() if parts else schema.empty_table()

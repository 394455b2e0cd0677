"""Real rows for a trial, and what the package itself answers to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairlead import datasets
from fairlead.errors import DataError, SchemaError, nearest
from fairlead.evaluation.serving_trial.payloads import FLOATS, Columns, Field, Outputs
from fairlead_serving.derive import derive
from fairlead_serving.package import InputInvalidError, ModelPackage

SCANNED_ROWS = 100_000  # rows are drawn evenly from so many at most: a trial need not read all of a large dataset
NEVER_SEEN = "a value that no vocabulary holds"


@dataclass(frozen=True)
class TrialRows:
    """Rows as a client sends them.

    Attributes:
        package: The package that is served.
        columns: By field, N values; None where missing.
        derived: Whether the fields are those of the package's request, from which its inputs are derived.
    """

    package: ModelPackage
    columns: Mapping[str, list[Any]]
    derived: bool = False

    @property
    def count(self) -> int:
        """N."""
        return len(next(iter(self.columns.values())))

    def take(self, rows: "list[int] | range") -> dict[str, list[Any]]:
        """Some of the rows."""
        return {name: [values[row] for row in rows] for name, values in self.columns.items()}

    def thinned(self, count: int) -> "TrialRows":
        """As many of the rows, evenly spread."""
        kept = np.unique(np.linspace(0, self.count - 1, count).astype(np.int64)).tolist()
        return TrialRows(self.package, self.take(kept), self.derived)

    def expected(self, columns: Columns) -> Outputs:
        """What the package itself answers.

        Args:
            columns: By field, N values.

        Returns:
            The outputs of ModelPackage.predict, (N, …).

        Raises:
            SchemaError: The values are such as the package cannot take.
        """
        request = self.package.manifest.request or {}
        inputs: dict[str, Any] = dict(columns)
        if self.derived and request.get("derive"):
            inputs |= derive(columns, list(request["derive"]))
        try:
            return self.package.predict(inputs)
        except InputInvalidError as error:
            raise SchemaError(f"the package cannot take rows of the sample: {error}") from None


def read_rows(sample: Path | str, package: ModelPackage, count: int) -> TrialRows:
    """Reads rows of a dataset, evenly spread, as a client of the package would send them.

    A package whose request names a feature service is asked with its inputs, since a trial has no feature store; one
    whose request is only derived from is asked with the request's fields.

    Args:
        sample: The dataset's folder.
        package: The package.
        count: Rows at most.

    Raises:
        SchemaError: The dataset lacks a column.
        DataError: It has no rows.
        SourceError: It is unfinished or corrupt.
    """
    request = package.manifest.request or {}
    derived = bool(request) and not request.get("feature_service")
    names = list(request["fields"]) if derived else [item.name for item in package.manifest.inputs]
    manifest = datasets.read_manifest(sample)
    absent = [name for name in names if name not in manifest.columns]
    if absent:
        raise SchemaError(
            f"dataset {sample} has no column {absent[0]!r}, which the model's clients send; "
            f"{nearest(absent[0], manifest.columns)}. Give rows of the kind that the model was exported with"
        )
    if not manifest.row_count:
        raise DataError(f"dataset {sample} has no rows; a server is tried with real ones")
    texts = {item.name for item in package.manifest.categorical}
    columns = _read(sample, names, count, manifest.row_count)
    spelt = {name: _as_text(values) if name in texts else values for name, values in columns.items()}
    return TrialRows(package, spelt, derived)


def _as_text(values: list[Any]) -> list[Any]:
    return [None if value is None or value != value else str(value) for value in values]  # noqa: PLR0124 (NaN)


def _read(sample: Path | str, names: list[str], count: int, rows: int) -> dict[str, list[Any]]:
    import pyarrow as pa

    from fairlead.evaluation.scoring import read_batches

    wanted = np.unique(np.linspace(0, min(rows, SCANNED_ROWS) - 1, count).astype(np.int64))
    parts, start = [], 0
    for batch in read_batches(sample, names):
        inside = wanted[(wanted >= start) & (wanted < start + batch.num_rows)] - start
        parts.append(batch.take(pa.array(inside)))
        start += batch.num_rows
        if start > wanted[-1]:
            break
    return dict(pa.Table.from_batches(parts).to_pydict())


def with_gaps(rows: TrialRows, fields: Sequence[Field], *, binary: bool) -> dict[str, list[Any]]:
    """Rows of which values are missing: each field's in one row, and all in the last.

    Images and whole numbers cannot be missing, nor what the prediction's time is taken from.

    Args:
        rows: Real rows.
        fields: What requests hold.
        binary: Whether the protocol carries texts as bytes: a missing one cannot be told there, so it is empty.

    Returns:
        The columns; none where nothing may be missing.
    """
    asked = (rows.package.manifest.request or {}).get("prediction_time") or {}
    gaps = [f for f in fields if not f.shape and f.datatype in (*FLOATS, "BYTES") and f.name in _may_miss(rows, asked)]
    columns = rows.take([row % rows.count for row in range(len(gaps) + 1)])
    for row, field in enumerate(gaps):
        for place in (row, len(gaps)):
            columns[field.name][place] = "" if binary and field.datatype == "BYTES" else None
    return columns if gaps else {}


def _may_miss(rows: TrialRows, asked: Mapping[str, Any]) -> set[str]:
    images = {item.name for item in rows.package.manifest.images}
    return set(rows.columns) - images - ({asked.get("field")} if rows.derived else set())


def with_unknowns(rows: TrialRows) -> dict[str, list[Any]]:
    """Rows of which each categorical value is one that the model has never seen; none where it takes none."""
    names = [item.name for item in rows.package.manifest.categorical if item.name in rows.columns]
    columns = rows.take([row % rows.count for row in range(len(names))])
    for row, name in enumerate(names):
        columns[name][row] = NEVER_SEEN
    return columns if names else {}

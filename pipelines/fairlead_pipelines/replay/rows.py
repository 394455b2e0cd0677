"""The rows to replay, and the features that become known while they are replayed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import ConfigurationError
from fairlead.settings import settings
from fairlead_pipelines.replay.client import Moment

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 512  # converted while requests are out, so only some at a time


@dataclass(frozen=True)
class Source:
    """What is replayed.

    Attributes:
        rows: A dataset with the request's fields, the label, and its times.
        features: The folder of feature tables, one dataset each; None where the model uses no feature store.
    """

    rows: Path
    features: Path | None


def prepare(values: Mapping[str, Any], folder: Path, until: datetime) -> Source:
    """Makes rows and features of the data that the latest run ingested, also of what comes after its `as_of`.

    Args:
        values: The problem, as `load_problem` gives it.
        folder: Where to keep them; what is there already is used if it was made from the same.
        until: The moment after which nothing is looked at.

    Returns:
        Where they are.

    Raises:
        ConfigurationError: There is no finished run of the problem to take the data from.
    """
    run = _latest_run(values["name"])
    if not values.get("features"):
        return Source(Path(_output(run, "test")["uri"]), None)
    from fairlead.features.compute_features.task import compute_features

    tables = [Path(t["outputs"]["dataset"]["uri"]) for t in run["tasks"] if "dataset" in t["outputs"]]
    made = Source(folder / "rows", folder / "features")
    if not _is_made_from(folder, tables, until):
        features = values["features"]
        compute_features(
            tables,
            folder / "features",
            made.rows,
            queries=features["queries"],
            entity_rows_query=features["entity_rows"],
            as_of=until.isoformat(),
        )
        (folder / "made_from.json").write_text(_origin(tables, until))
    return made


def moments(source: Source, values: Mapping[str, Any], start: datetime) -> Iterator[Moment]:
    """Reads the rows in the order in which they are asked about.

    Args:
        source: Where they are.
        values: The problem.
        start: The first moment of asking.

    Yields:
        One moment per row.
    """
    import pyarrow.compute as pc

    from fairlead.datasets import read_table

    request, label = values.get("request"), values["label"]
    time_column = (values.get("split") or {}).get("column") or "event_timestamp"
    rows = read_table(source.rows)
    rows = rows.filter(pc.field(time_column) >= start).sort_by(time_column)
    names = list(request["fields"]) if request else [*values["model"]["numeric"], *values["model"]["categorical"]]
    for batch in rows.to_batches(max_chunksize=_BATCH_ROWS):
        for row in batch.to_pylist():
            outcome = row.get(label["column"])
            fields = {name: _json(row[name]) for name in names}
            known_at = row.get(label.get("known_at") or "", row[time_column])
            yield Moment(row[time_column], fields, None if outcome is None else int(outcome), known_at)


def becoming_known(source: Source, start: datetime) -> "dict[str, pa.Table]":
    """Reads the feature rows that become known from a moment on.

    Args:
        source: Where they are.
        start: The moment.

    Returns:
        Table name to its rows in the order of `event_timestamp`.
    """
    import pyarrow.compute as pc

    from fairlead.datasets import read_table
    from fairlead.features.tables import read_tables

    if source.features is None:
        return {}
    later = pc.field("event_timestamp") > start
    return {
        name: read_table(source.features / name).filter(later).sort_by("event_timestamp")
        for name in read_tables(source.features).manifests
    }


def _latest_run(problem: str) -> dict[str, Any]:
    for file in sorted(settings().runs_home(problem).glob("*/run.json"), reverse=True):
        run: dict[str, Any] = json.loads(file.read_text())
        if run["state"] == "succeeded":
            return run
    raise ConfigurationError(f"no finished run of {problem} to take data from; do first: fairlead run {problem}")


def _output(run: Mapping[str, Any], name: str) -> Any:
    found = [task["outputs"][name] for task in run["tasks"] if name in task["outputs"]]
    if not found:
        raise ConfigurationError(f"the latest run has no output {name!r}, so there are no rows to replay")
    return found[-1]


def _is_made_from(folder: Path, tables: list[Path], until: datetime) -> bool:
    stamp = folder / "made_from.json"
    return stamp.exists() and stamp.read_text() == _origin(tables, until)


def _origin(tables: list[Path], until: datetime) -> str:
    from fairlead.datasets import read_manifest

    return json.dumps([until.isoformat(), *(read_manifest(table).digest for table in tables)])


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value

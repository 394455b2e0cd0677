"""The work of build_training_set."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.datasets import DatasetManifest, read_manifest, read_table, scan, write_dataset
from fairlead.errors import ConfigurationError, DataError, LeakageError, SchemaError
from fairlead.features.build_training_set import report as pages
from fairlead.features.build_training_set.accounting import Account, check_columns, read_window, take_rows
from fairlead.features.declarations import Lookup
from fairlead.features.join import ROWS_AT_ONCE, join_features
from fairlead.features.leakage import check_join
from fairlead.features.spec import LabelSpec, RequestSpec
from fairlead.features.tables import EVENT_TIMESTAMP, read_tables
from fairlead_serving.derive import derive

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class TrainingSet:
    """What was built.

    Attributes:
        manifest: The dataset.
        account: What became of every entity row.
        compared: Values that an independent join confirmed.
        positive_rate: The label's mean, for a yes/no label.
        as_of: The moment after which nothing was looked at.
    """

    manifest: DatasetManifest
    account: Account
    compared: int
    positive_rate: float
    as_of: str

    def metadata(self) -> dict[str, str | int | float]:
        """Flat values for the artifact."""
        counts = {f"entity_{name}": value for name, value in asdict(self.account).items()}
        return {
            **self.manifest.metadata(), **counts, "values_confirmed": self.compared,
            "positive_rate": self.positive_rate, "as_of": self.as_of,
        }  # fmt: skip


def build_training_set(
    features: Path | str,
    entity_rows: Path | str,
    training_set: Path | str,
    report: Path | str,
    repository: str,
    feature_service: str,
    label: Mapping[str, Any],
    request: Mapping[str, Any],
    window: Sequence[str],
    rows_at_once: int = ROWS_AT_ONCE,
) -> TrainingSet:
    """Joins rows with what was known of them at their event time.

    Args:
        features: The folder of feature tables.
        entity_rows: The rows to predict.
        training_set: Where the dataset goes.
        report: Where the HTML report goes.
        repository: The Feast repository.
        feature_service: The feature service.
        label: The problem's section `label`.
        request: The problem's section `request`.
        window: First event time taken and the first not taken any more.
        rows_at_once: Rows joined at a time.

    Returns:
        What was built.

    Raises:
        ConfigurationError: A section, the repository or the service is wrong, or two columns would have one name.
        SchemaError: The entity rows lack a column.
        DataError: Rows come twice, none can be used, or all have one label.
        LeakageError: Something was not yet known when it would be used.
    """
    asked, answer = RequestSpec.parse(request, "request"), LabelSpec.parse(label, "label")
    tables, span = read_tables(features), read_window(list(window))
    columns = check_columns(scan(entity_rows).schema, answer, asked)
    rows, account = take_rows(read_table(entity_rows, columns), answer, asked, span, tables.as_of)
    limits = {view: asked.freshness.limit(view) for view in tables.keys}
    joined, wanted = join_features(tables, repository, feature_service, rows, limits, rows_at_once)
    _check_names(asked, answer, wanted)
    compared = check_join(tables, wanted, rows, joined)
    table = _assemble(rows, joined, asked, answer)
    manifest = write_dataset(
        training_set, [table], table.schema, name="training_set", time_column=EVENT_TIMESTAMP,
        source=f"features {tables.digest}, rows {read_manifest(entity_rows).digest}",
    )  # fmt: skip
    built = TrainingSet(
        manifest, account, compared, _mean(table, answer.column), tables.as_of.isoformat() if tables.as_of else ""
    )
    pages.write_report(table, built, wanted, answer, span, report)
    return built


def _check_names(request: RequestSpec, label: LabelSpec, wanted: Sequence[Lookup]) -> None:
    features = {name: lookup.view for lookup in wanted for name in lookup.features}
    derived = [item.name for item in request.derive]
    for name in (label.column, label.known_at):
        if name in features or name in derived:
            place = f"feature view {features[name]!r}" if name in features else "request.derive"
            raise LeakageError(f"{name!r} is the label's and also comes from {place}; remove it there")
    for name in (*request.fields, *derived, EVENT_TIMESTAMP):
        if name in features:
            raise ConfigurationError(f"{name!r} is in the request and in feature view {features[name]!r}; rename one")


def _assemble(rows: "pa.Table", joined: "pa.Table", request: RequestSpec, label: LabelSpec) -> "pa.Table":
    """Request fields, features, derived inputs, label, event time: N rows."""
    import numpy as np
    import pyarrow as pa

    table = rows.select(list(request.fields))
    for name in joined.column_names:
        table = table.append_column(name, joined.column(name))
    fields = {name: rows.column(name).combine_chunks() for name in {item.field for item in request.derive}}
    for name, values in derive(fields, [item.model_dump() for item in request.derive]).items():
        table = table.append_column(name, pa.array(values, pa.int16(), mask=np.isnan(values)))
    table = table.append_column(label.column, _labels(rows.column(label.column), label))
    return table.append_column(EVENT_TIMESTAMP, rows.column(EVENT_TIMESTAMP)).combine_chunks()


def _labels(column: "pa.ChunkedArray", label: LabelSpec) -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        labels = column.cast(pa.int8())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise SchemaError(
            f"the label {label.column!r} is {column.type} and does not fit int8; make it 0 and 1 in the query, such as "
            f"({label.column} > 15)::TINYINT"
        ) from None
    if pc.count_distinct(labels).as_py() == 1:
        raise DataError(
            f"all {len(labels)} labels ({label.column}) are {labels[0].as_py()}; a model needs both answers: widen the "
            "window or look at the label's definition"
        )
    return labels


def _mean(table: "pa.Table", column: str) -> float:
    import pyarrow.compute as pc

    return float(pc.mean(table.column(column)).as_py())

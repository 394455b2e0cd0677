"""Computes feature tables and the rows to predict, by SQL."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def compute_features(
    dataset: Input[Dataset],
    features: Output[Dataset],
    entity_rows: Output[Dataset],
    report: Output[HTML],
    queries: dict,
    entity_rows_query: str,
    as_of: str = "",
    context: Optional[Input[Dataset]] = None,
    reference: Optional[Input[Dataset]] = None,
) -> None:
    """Computes feature tables and the rows to predict, by SQL that DuckDB runs.

    A query sees each input dataset as a view under the dataset's name, and `getvariable('as_of')` as the pipeline's
    now. Its columns are the entity keys, then `event_timestamp` (when the row's values became known), then features.

    Args:
        dataset: The main dataset.
        queries: Table name to SQL; each makes the feature table of its name.
        entity_rows_query: The SQL of the rows to predict, or its name among the queries.
        as_of: Nothing that became known later is looked at (ISO 8601); empty: everything is.
        context: A second dataset that the queries may use.
        reference: A third dataset that the queries may use.

    Returns:
        features: A folder with one dataset a table and features.json (as_of, keys of each table).
        entity_rows: The rows to predict, ordered by event_timestamp.
        report: Rows, time range and statistics of every table.
    """
    from fairlead.features.compute_features import task

    inputs = [given.path for given in (dataset, context, reference) if given is not None]
    done = task.compute_features(
        inputs, features.path, entity_rows.path, queries, entity_rows_query, as_of, report=report.path
    )
    features.metadata.update(done.features_metadata())
    entity_rows.metadata.update(done.entity_rows_metadata())

"""The contract of ingest_dataset."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def ingest_dataset(dataset: Output[Dataset], name: str, source: str, table: dict = {}) -> None:
    """Reads files from a path, a package, http(s) or S3 into a typed dataset, streaming.

    Args:
        name: The dataset's name; SQL and reports know it by this.
        source: A path, directory, glob, http(s) or s3:// address, or pkg:NAME/path/in/package;
            csv, jsonl (both also .gz and .zip), parquet, or PNG and JPEG files in folders named after their classes.
        table: How to read it: columns and types, na_values, time_column, time_zone, member, licence
            (the fields of TableSpec).

    Returns:
        dataset: Parquet files with times in UTC, and dataset.json: columns, rows, digest, source, time range.
    """
    from fairlead.ingestion.ingest_dataset.task import ingest

    dataset.metadata.update(ingest(dataset.path, name, source, table).metadata())

"""Datasets and packages of the evaluation's tests."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import tiny_package, tiny_rows

from fairlead import datasets

Write = Callable[..., Path]


@pytest.fixture
def write_rows(tmp_path: Path) -> Write:
    """Write columns as a dataset."""

    def write(name: str, columns: Mapping[str, Any]) -> Path:
        import pyarrow as pa

        table = pa.table(dict(columns))
        batches = table.to_batches(max_chunksize=700)
        datasets.write_dataset(tmp_path / name, batches, table.schema, name=name, source="drawn")
        return tmp_path / name

    return write


@pytest.fixture
def test_rows(write_rows: Write) -> Path:
    """3,000 rows that the tiny package is calibrated on, with a month."""
    rows = tiny_rows(3000, seed=1)
    return write_rows("test", {**rows, "month": np.arange(3000) % 12 + 1})


@pytest.fixture
def train_rows(write_rows: Write) -> Path:
    """2,000 other rows of the same kind."""
    return write_rows("train", tiny_rows(2000, seed=2))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package whose model is the truth of the rows."""
    return tiny_package(tmp_path / "package")

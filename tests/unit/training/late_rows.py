"""Rows with a label that can be learnt, for the tests of training, tuning and optimization.

from unit.training.late_rows import MODEL, late_table, write_table
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fairlead.datasets import DatasetManifest, write_dataset

MODEL: dict[str, Any] = {"categorical": ["carrier", "gate"], "numeric": ["hour", "wind", "always"]}
TRAIN: dict[str, Any] = {
    "epochs": 3, "batch_size": 64, "options": {"hidden": [16]}, "learning_rate": 0.03, "patience": 2, "seed": 7,
}  # fmt: skip
START = datetime(2013, 1, 1, tzinfo=UTC)


def late_table(count: int, seed: int = 0) -> pa.Table:
    """Draws rows: lateness depends on carrier, hour and wind; wind is missing in a tenth of the rows."""
    rng = np.random.default_rng(seed)
    carrier = rng.integers(4, size=count)
    hour, wind = rng.integers(5, 23, size=count), rng.normal(10, 4, size=count).astype(np.float32)
    logit = np.array([-2.0, -0.5, 0.5, 2.0])[carrier] + 0.25 * (hour - 14) + 0.2 * (wind - 10)
    carriers = np.array(["AA", "B6", "DL", "UA"])[carrier]
    return pa.table(
        {
            "carrier": pa.array(carriers, mask=rng.random(count) < 0.02),
            "gate": pa.array(rng.integers(3, size=count), pa.int16()),
            "hour": pa.array(hour, pa.int8()),
            "wind": pa.array(wind, mask=rng.random(count) < 0.1),
            "always": pa.array(np.full(count, 7.0)),
            "late": pa.array((rng.random(count) < 1 / (1 + np.exp(-logit))).astype(np.int64)),
            "at": pa.array([START + timedelta(minutes=i) for i in range(count)], pa.timestamp("us", tz="UTC")),
        }
    )


def write_table(path: Path, table: pa.Table, *, name: str = "rows", time_column: str | None = "at") -> DatasetManifest:
    """Writes a table as a dataset."""
    return write_dataset(path, [table], table.schema, name=name, source="tests", time_column=time_column)

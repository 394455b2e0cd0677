"""Rows and pictures for the tests of recipes, and what a recipe makes of them in one call.

from unit.recipes.recipe_rows import ROWS_MODEL, fit_recipe, mixed_table, picture_datasets, write_pair
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from task_models import picture_rows

from fairlead.datasets import write_dataset
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.recipes.protocol import Prepared
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.spec import ModelSpec, TrainSpec

ROWS_MODEL: dict[str, Any] = {"categorical": ["word", "code"], "numeric": ["size", "gap", "same"]}
PICTURES_MODEL: dict[str, Any] = {"task": "multiclass", "image": "picture"}
LABELS = {"binary": "yes", "multiclass": "kind", "regression": "amount", "ranking": "amount"}
TASKS = tuple(LABELS)


def mixed_table(count: int, seed: int = 0) -> pa.Table:
    """Draws rows with gaps in words and numbers, and a label for each task that follows from them."""
    rng = np.random.default_rng(seed)
    word, code = rng.integers(0, 12, count), rng.integers(-2, 5, count)
    size, gap = rng.normal(50, 20, count), rng.exponential(2.0, count)
    drift = np.isin(word, (1, 4, 7, 9)) * 2.0 - 1 + 0.03 * (size - 50) + (code > 1) * 0.8
    value = drift + rng.normal(0, 0.3, count)
    absent = rng.random((3, count)) < 0.1
    return pa.table(
        {
            "word": pa.array([f"w{n:02}" for n in word], mask=absent[0]),
            "code": pa.array(code, pa.int16()),
            "size": pa.array(size.astype(np.float32), mask=absent[1]),
            "gap": pa.array(gap, mask=absent[2]),
            "same": pa.array(np.ones(count)),
            "yes": pa.array((value > 0).astype(np.int64)),
            "kind": pa.array(np.array(["low", "middle", "top"])[np.digitize(value, (-0.7, 0.9))]),
            "amount": pa.array(np.clip(value + 4, 0, None)),
            "shop": pa.array(np.arange(count) // 8),
        }
    )


def task_model(task: str, **changes: Any) -> ModelSpec:
    """The model section of a task on `mixed_table`."""
    return ModelSpec.parse(
        {**ROWS_MODEL, "task": task, **({"group": "shop"} if task == "ranking" else {}), **changes}, ""
    )


def write_pair(folder: Path, train: pa.Table, validation: pa.Table) -> tuple[Path, Path]:
    """Writes two datasets."""
    for name, table in (("train", train), ("validation", validation)):
        write_dataset(folder / name, [table], table.schema, name=name, source="tests")
    return folder / "train", folder / "validation"


def picture_table(count: int, seed: int = 0) -> pa.Table:
    """Grey pictures of 8 x 8 pixels, bright on the left or on the right."""
    rows = picture_rows(count, seed)
    return pa.table({"picture": pa.array(rows["picture"], pa.binary()), "label": rows["label"]})


def fit_recipe(
    paths: tuple[Path, Path], model: ModelSpec, train: dict[str, Any], label: str, checkpoint: Path | None = None
) -> tuple[Prepared, Any]:
    """Prepares and fits; writes the checkpoint where a path is given."""
    spec = TrainSpec.parse(train, "train")
    recipe = find_recipe(spec.recipe)
    data = recipe.prepare(*paths, model, spec, label)
    fitted = recipe.fit_trial(data, lambda *_: None)
    if checkpoint is not None:
        lineage = {"train": {"digest": "sha256:0", "rows": len(data.train)}, "revision": None}
        Checkpoint(data.design, label, fitted, lineage, data.statistics).write(checkpoint)
    return data, fitted

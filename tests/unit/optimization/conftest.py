"""A checkpoint with random weights and real rows: nothing is trained here."""

from pathlib import Path

import pytest
from unit.training.late_rows import MODEL, late_table, write_table

from fairlead.training.checkpoint import Checkpoint
from fairlead.training.recipes.protocol import Design, Epoch, Fitted
from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead.training.tabular import encode, fit_vocabularies, read_rows


def random_checkpoint(rows_path: Path, model: ModelSpec, *, hidden: list[int], seed: int = 0) -> Checkpoint:
    """A checkpoint as train_model leaves it, with fresh weights around the statistics of the rows."""
    import torch

    from fairlead.training.recipes.network import Statistics, TabularNetwork

    table = read_rows(rows_path, model, "late")
    words = fit_vocabularies(table, model.categorical)
    design = Design(model, TrainSpec(options={"hidden": hidden}), words)
    rows = encode(table, model, words, "late")
    torch.manual_seed(seed)
    network = TabularNetwork(Statistics.of(rows.numeric), design.vocabulary_sizes, hidden, 0.1)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    epoch = Epoch(1, 0.6, {"validation_log_loss": 0.5, "validation_roc_auc": 0.7})
    lineage = {"train": {"digest": "sha256:0", "rows": table.num_rows}, "revision": None}
    return Checkpoint(design, "late", Fitted(weights, [epoch], epoch), lineage)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 600 real rows."""
    path = tmp_path_factory.mktemp("data") / "sample"
    write_table(path, late_table(600, seed=3), name="sample")
    return path


@pytest.fixture(scope="module")
def checkpoint(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a network for the sample."""
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint"
    random_checkpoint(sample, ModelSpec.parse(MODEL, "model"), hidden=[32, 16]).write(path)
    return path

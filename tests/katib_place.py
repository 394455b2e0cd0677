"""A search by Katib on a cluster of one process: its section, and how a test runs it. Fixtures: katib_fixtures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_kubernetes import TinyKubernetes
from unit.training.late_rows import MODEL
from unit.tuning.toy_recipe import NAME

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster
from fairlead.settings import settings
from fairlead.tuning.tune_model.task import Tuning, tune

RATE = {"name": "log10_learning_rate", "parameterType": "double", "feasibleSpace": {"min": "-4", "max": "-1"}}
WIDTH = {"name": "width", "parameterType": "int", "feasibleSpace": {"min": "4", "max": "12", "step": "4"}}
MOOD = {"name": "mood", "parameterType": "categorical", "feasibleSpace": {"list": ["good", "bad", "nan"]}}
TUNING: dict[str, Any] = {
    "objective": {
        "type": "minimize", "objectiveMetricName": "validation_log_loss",
        "additionalMetricNames": ["validation_roc_auc"],
    },
    "algorithm": {"algorithmName": "random", "algorithmSettings": {"random_state": "7"}},
    "maxTrialCount": 3,
    "parallelTrialCount": 3,
    "maximum_rows": 500,
    "maximum_epochs": 3,
    "parameters": [RATE, WIDTH],
}  # fmt: skip
GRID = {"algorithm": {"algorithmName": "grid"}, "parameters": [WIDTH]}


@dataclass
class Place:
    """A cluster of one process with Katib, and an object store."""

    kubernetes: TinyKubernetes
    data: Path
    out: Path
    store: str

    @property
    def cluster(self) -> Cluster:
        """As fairlead sees it."""
        return Cluster.connect(settings())

    def tune(self, **changes: Any) -> Tuning:
        """Tunes the toy with keys of the section changed."""
        train = changes.pop("train", {"recipe": NAME, "epochs": 3, "options": {"pause": 0.02}})
        return tune(
            self.data / "train", self.data / "validation", self.out / "best.json", self.out / "trials",
            self.out / "report.html", model=MODEL, train_spec=train, tuning={**TUNING, **changes}, label="late",
        )  # fmt: skip

    def experiments(self) -> list[dict[str, Any]]:
        """Those that are there."""
        return self.cluster.list(kinds.EXPERIMENT)

"""Searches for the tests of tuning, and a figure that depends on the values.

from unit.tuning.searches import GRID, PARAMETERS, loss, run, search
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairlead.tuning.search import Search, run_here
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.study import TrialRecord, open_study

RATES = {"min": "0.001", "max": "0.1", "distribution": "logUniform"}
PARAMETERS = [
    {"name": "learning_rate", "parameterType": "double", "feasibleSpace": RATES},
    {"name": "dropout", "parameterType": "double", "feasibleSpace": {"min": "0.0", "max": "0.35", "step": "0.1"}},
    {"name": "epochs", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "4"}},
    {"name": "batch_size", "parameterType": "discrete", "feasibleSpace": {"list": ["64", "128"]}},
    {"name": "hidden", "parameterType": "categorical", "feasibleSpace": {"list": ["[8]", "[16, 8]"]}},
]
GRID = [
    {"name": "dropout", "parameterType": "double", "feasibleSpace": {"min": "0.1", "max": "0.3", "step": "0.1"}},
    {"name": "hidden", "parameterType": "categorical", "feasibleSpace": {"list": ["[8]", "[16, 8]"]}},
]


def section(name: str = "random", trials: int = 4, **changes: Any) -> dict[str, Any]:
    """A `tuning` section; hyperband and grid want more of it."""
    settings = {} if name == "hyperband" else {"random_state": "5"}
    return {
        "objective": {"type": "minimize", "objectiveMetricName": "validation_log_loss"},
        "algorithm": {"algorithmName": name, "algorithmSettings": settings},
        "maxTrialCount": trials,
        "maximum_epochs": 4,
        "parameters": GRID if name == "grid" else PARAMETERS,
        **changes,
    }


def search(name: str = "random", trials: int = 4, **changes: Any) -> TuneSpec:
    """A search by an algorithm."""
    return TuneSpec.parse(section(name, trials, **changes), "tuning")


def hyperband(trials: int, largest: int = 9) -> TuneSpec:
    """A search by hyperband."""
    settings = {"r_l": str(largest), "eta": "3", "resource_name": "epochs"}
    epochs = {"name": "epochs", "parameterType": "int", "feasibleSpace": {"min": "1", "max": str(largest)}}
    return search(
        "hyperband", trials, algorithm={"algorithmName": "hyperband", "algorithmSettings": settings},
        parameters=[PARAMETERS[0], epochs], maximum_epochs=largest,
    )  # fmt: skip


def loss(values: dict[str, Any], hear: Callable[[dict[str, float]], None]) -> dict[str, float]:
    """Trains one epoch: a figure that depends on the values."""
    figures = {"validation_log_loss": abs(values.get("dropout", 0) - 0.2) + values.get("learning_rate", 0)}
    hear(figures)
    return figures


def run(folder: Path, spec: TuneSpec, evaluate: Any = loss) -> list[TrialRecord]:
    """Runs a search to its end."""
    with open_study(folder, spec) as study:
        run_here(Search(study, spec), evaluate)
        return study.records()

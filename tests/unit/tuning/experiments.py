"""Experiments for the tests of Katib's side.

from unit.tuning.experiments import STOPPING, build, container_of, inputs, job_of
"""

from typing import Any

from unit.training.late_rows import MODEL
from unit.tuning.searches import section
from unit.tuning.toy_recipe import NAME

from fairlead.tuning.experiment import build_experiment
from fairlead.tuning.trial_job import TrialJob
from fairlead.tuning.trials import Inputs

RATE = {"name": "log10_learning_rate", "parameterType": "double", "feasibleSpace": {"min": "-3", "max": "-1"}}
WIDTH = {"name": "width", "parameterType": "int", "feasibleSpace": {"min": "4", "max": "12", "step": "4"}}
MOOD = {"name": "mood", "parameterType": "categorical", "feasibleSpace": {"list": ["good", "in a $PATH; of `moods`"]}}
STOPPING = {"algorithmName": "medianstop", "algorithmSettings": {"start_step": "2"}}


def inputs(**changes: Any) -> Inputs:
    """What a search over the toy looks at."""
    tuning = {
        **section("multivariate-tpe", 6, parameters=[RATE, WIDTH, MOOD], parallelTrialCount=2, maxFailedTrialCount=3),
        **changes,
    }
    train = {"recipe": NAME, "epochs": 3}
    return Inputs.of(
        {"train_path": "/data/train", "validation_path": "/data/validation", "model": MODEL, "train": train,
         "tuning": tuning, "label": "late"}
    )  # fmt: skip


def build(**changes: Any) -> dict[str, Any]:
    """The Experiment of a search, as it is sent."""
    made = build_experiment(inputs(**changes), "late-7", "team", TrialJob(image="registry.example/fairlead:1"))
    return dict(made.to_dict())


def job_of(experiment: dict[str, Any]) -> dict[str, Any]:
    """The Job of a trial."""
    return dict(experiment["spec"]["trialTemplate"]["trialSpec"])


def container_of(experiment: dict[str, Any]) -> dict[str, Any]:
    """The container of a trial."""
    return dict(job_of(experiment)["spec"]["template"]["spec"]["containers"][0])

"""The trial's program: run as Katib would run it, it gives the figure of the laptop's trial, or fails and says why."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from unit.training.late_rows import MODEL, TRAIN, late_table, write_table
from unit.tuning.searches import section
from unit.tuning.toy_recipe import NAME

from fairlead.tuning.experiment import build_experiment
from fairlead.tuning.search import Search, run_here
from fairlead.tuning.study import open_study
from fairlead.tuning.trial import main
from fairlead.tuning.trial_job import INPUTS, TrialJob
from fairlead.tuning.trials import Inputs, Trainer

FILTER = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)", re.ASCII)  # the collector's own
RATE = {"name": "log10_learning_rate", "parameterType": "double", "feasibleSpace": {"min": "-3", "max": "-1"}}
HIDDEN = {"name": "hidden", "parameterType": "categorical", "feasibleSpace": {"list": ["[8]", "[16, 8]"]}}
MOOD = {"name": "mood", "parameterType": "categorical", "feasibleSpace": {"list": ["good", "bad", "nan"]}}


def inputs_of(folder: Path, train: dict[str, Any], *parameters: dict[str, Any]) -> Inputs:
    """What a search over some parameters looks at."""
    objective = {
        "type": "minimize", "objectiveMetricName": "validation_log_loss",
        "additionalMetricNames": ["validation_roc_auc"],
    }  # fmt: skip
    tuning = section("multivariate-tpe", 2, parameters=list(parameters), objective=objective, maximum_epochs=2)
    return Inputs.of(
        {"train_path": folder / "train", "validation_path": folder / "validation", "model": MODEL, "train": train,
         "tuning": tuning, "label": "late"}
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the datasets `train` and `validation`."""
    made = tmp_path_factory.mktemp("data")
    write_table(made / "train", late_table(600, seed=1), name="train")
    write_table(made / "validation", late_table(200, seed=2), name="validation")
    return made


def run_as_katib(inputs: Inputs, values: dict[str, Any], folder: Path) -> tuple[int, dict[str, list[float]], bool]:
    """Runs a trial's container as Katib's webhook rewrites it.

    Returns:
        The exit code, what the collector would read, and whether the trial is marked completed.
    """
    experiment = build_experiment(inputs, "late", "team", TrialJob()).to_dict()
    container = experiment["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    for name, value in values.items():
        environment = {
            key: text.replace(f"${{trialParameters.{name}}}", str(value)) for key, text in environment.items()
        }
    log, mark = folder / "metrics.log", folder / "completed.pid"
    words = [*container["args"], f"1>{log} 2>&1", "&&", f"echo completed > {mark}"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    places = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PATH": path, "FAIRLEAD_HOME": str(folder)}
    ended = subprocess.run(
        [*container["command"], " ".join(words)], env={**environment, **places}, check=False, timeout=120
    )
    read: dict[str, list[float]] = {}
    for name, number, *_ in FILTER.findall(log.read_text()):
        if name in inputs.tuning.objective.metrics and number:
            read.setdefault(name, []).append(float(number))
    return ended.returncode, read, mark.exists()


def test_a_pods_trial_gives_the_laptops_figure(folder: Path, tmp_path: Path) -> None:
    """The values that a laptop's search tried, as Katib's texts, give the same figures to the last bit."""
    inputs = inputs_of(folder, TRAIN, RATE, HIDDEN)
    with open_study(tmp_path / "study", inputs.tuning) as study:
        run_here(Search(study, inputs.tuning), Trainer(inputs))
        trial = study.records()[0]
    code, read, completed = run_as_katib(inputs, trial.values, tmp_path)
    assert (code, completed) == (0, True)
    assert {name: values[-1] for name, values in read.items()} == trial.figures
    assert tuple(read["validation_log_loss"][:-1]) == tuple(trial.curve)


@pytest.mark.parametrize("mood", ["bad", "nan"])
def test_a_pods_trial_that_fails_is_failed(folder: Path, tmp_path: Path, mood: str) -> None:
    """What raises, or gives no number, ends with 1 and is not marked completed, so that Katib counts it as failed."""
    code, read, completed = run_as_katib(inputs_of(folder, {"recipe": NAME}, MOOD), {"mood": mood}, tmp_path)
    assert (code, read, completed) == (1, {}, False)
    said = (tmp_path / "metrics.log").read_text()
    assert ("in a bad mood" in said) if mood == "bad" else ("not finite: validation_log_loss nan" in said)


def test_a_short_trial_waits_for_the_collector(folder: Path, tmp_path: Path) -> None:
    """A trial of no time lasts as long as Katib's collector needs to see it."""
    started = time.monotonic()
    code, read, _ = run_as_katib(inputs_of(folder, {"recipe": NAME}, MOOD), {"mood": "good"}, tmp_path)
    assert code == 0
    assert len(read["validation_log_loss"]) == 3
    assert time.monotonic() - started >= 3


def test_values_may_be_arguments(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By hand a value is an argument, which comes before the environment."""
    environment = {INPUTS: inputs_of(folder, {"recipe": NAME}, MOOD).as_json(), "FAIRLEAD_PARAMETER_mood": "bad"}
    assert main(["mood=good"], environment) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert FILTER.findall(last)[0][0] == "validation_log_loss"


@pytest.mark.parametrize(
    ("arguments", "text", "words"),
    [
        ([], None, "FAIRLEAD_TRIAL is not set"),
        ([], "{", "FAIRLEAD_TRIAL is no JSON"),
        ([], "[]", "holds no keys"),
        ([], '{"trains": 1}', "did you mean 'train'"),
        ([], '{"train": {}}', "lack label, model, train_path"),
        (["mod=good"], "", "'mod=good' sets no parameter of the search; did you mean 'mood'"),
        (["mood"], "", "sets no parameter"),
        ([], "", "no value for mood; set FAIRLEAD_PARAMETER_mood or give mood=…"),
    ],
)
def test_wrong_inputs_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str | None, words: str
) -> None:
    """What is absent or wrong is said on standard error; the exit code is 1."""
    whole = inputs_of(folder, {"recipe": NAME}, MOOD).as_json()
    environment = {} if text is None else {INPUTS: text or whole}
    assert main(arguments, environment) == 1
    assert words in capsys.readouterr().err

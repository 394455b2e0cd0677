"""Searches hyperparameters: many short trainings on the latest rows."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fairlead
from fairlead import atomic, datasets, progress
from fairlead.errors import ConfigurationError, DataError, nearest
from fairlead.settings import settings
from fairlead.training.recipes.protocol import Design
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead.training.tabular import Rows, encode, fit_vocabularies, read_rows
from fairlead.tuning.search import Figures, TrialRecord, Values, ended, open_study, records, run_search
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.tune_model.report import write_report, write_trials

_FORMAT = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """What a search looks at.

    Attributes:
        train_path: The dataset to learn from.
        validation_path: The dataset that scores.
        model: The model's inputs.
        train: The hyperparameters that are not searched.
        tuning: The search.
        label: The column to predict.
    """

    train_path: Path
    validation_path: Path
    model: ModelSpec
    train: TrainSpec
    tuning: TuneSpec
    label: str


@dataclass(frozen=True)
class Tuning:
    """What came out.

    Attributes:
        metrics: Figures for the run's page.
        best: The best trial.
        trials: All finished trials.
    """

    metrics: dict[str, float]
    best: TrialRecord
    trials: list[TrialRecord]


def tune(
    train_path: Path | str,
    validation_path: Path | str,
    best_path: Path | str,
    trials_path: Path | str,
    report_path: Path | str,
    *,
    model: Mapping[str, Any],
    train_spec: Mapping[str, Any],
    tuning: Mapping[str, Any],
    label: str,
) -> Tuning:
    """Searches hyperparameters.

    Args:
        train_path: The dataset to learn from.
        validation_path: The dataset that scores.
        best_path: The JSON file to write: the best trial's hyperparameters.
        trials_path: The dataset of all trials to write.
        report_path: The HTML page to write.
        model: The problem's `model` section.
        train_spec: The problem's `train` section.
        tuning: The problem's `tuning` section.
        label: The column to predict.

    Returns:
        The best trial, all trials, and figures.

    Raises:
        ConfigurationError: A key, a value, a parameter's name or the recipe's name is wrong.
        SourceError: A dataset is not finished or corrupt.
        SchemaError: A column is absent or of a wrong type.
        DataError: The label will not do, or so many trials failed that the search was given up.
        StateError: What an earlier, unfinished run left cannot be read.
    """
    inputs = Inputs(
        Path(train_path), Path(validation_path), ModelSpec.parse(model, "model"),
        TrainSpec.parse(train_spec, "train"), TuneSpec.parse(tuning, "tuning"), label,
    )  # fmt: skip
    check_names(inputs.tuning)
    trials = _search(inputs)
    best = choose_best(trials, inputs.tuning)
    result = Tuning(_metrics(best, trials, inputs.tuning), best, trials)
    atomic.write_json(best_path, _best_json(best, inputs))
    write_trials(trials_path, trials, inputs.tuning, str(inputs.train_path.name))
    write_report(report_path, best, trials, inputs.tuning)
    return result


def check_names(tuning: TuneSpec) -> None:
    """Refuses parameters that the `train` section does not have.

    Raises:
        ConfigurationError: A name is unknown; the nearest is named.
    """
    for parameter in tuning.parameters:
        if parameter.name not in TrainSpec.tunable():
            hint = nearest(parameter.name, TrainSpec.tunable())
            raise ConfigurationError(f"tuning.parameters: {parameter.name!r} cannot be tuned; {hint}")


def _search(inputs: Inputs) -> list[TrialRecord]:
    spec, name = inputs.tuning, study_name(inputs)
    path = settings().home / "tuning" / f"{name}.sqlite"
    if spec.parallel_trials > 1:
        logger.warning("parallelTrialCount %d: on a laptop trials run one after another", spec.parallel_trials)
    with open_study(path, name, spec) as study:
        with progress.step("tuning", total=spec.max_trials) as step:
            if not ended(records(study), spec):
                trainer = Trainer(inputs)
                run_search(study, spec, trainer, lambda done: step.update(len(done), **_best_figure(done, spec)))
        trials = records(study)[: spec.max_trials]
    failed = [trial for trial in trials if trial.metric is None]
    if len(failed) >= (spec.max_failed_trials or spec.max_trials):
        path.unlink()  # the next run starts anew: the cause may be gone
        texts = "\n".join(f"- {trial.values}: {trial.error}" for trial in failed)
        raise DataError(f"{len(failed)} of {len(trials)} trials failed, so tuning was given up:\n{texts}")
    return trials


class Trainer:
    """Trains trials; reads the data and imports the recipe's libraries before the first is timed."""

    def __init__(self, inputs: Inputs) -> None:
        """Reads the rows that trials see."""
        self.inputs, self.recipe = inputs, find_recipe(inputs.train.recipe)
        self.rows = self._read()
        self.recipe.load(trial=True)

    def __call__(self, values: Values) -> Figures:
        """Trains with the trial's values and gives the kept epoch's figures."""
        spec = self.inputs.train.with_hyperparameters(values)
        spec = spec.model_copy(update={"epochs": min(spec.epochs, self.inputs.tuning.maximum_epochs)})
        train, validation, vocabularies = self.rows
        design = Design(self.inputs.model, spec, vocabularies)
        return self.recipe.fit_trial(train, validation, design, lambda _done, _epoch: None).best.figures()

    def _read(self) -> tuple[Rows, Rows, dict[str, list[str]]]:
        model, label, latest = self.inputs.model, self.inputs.label, self.inputs.tuning.maximum_rows
        train = read_rows(self.inputs.train_path, model, label, latest=latest)
        validation = read_rows(self.inputs.validation_path, model, label, latest=latest)
        words = fit_vocabularies(train, model.categorical)
        return encode(train, model, words, label), encode(validation, model, words, label), words


def study_name(inputs: Inputs) -> str:
    """A name that is the same for the same search: data, sections and code; how many trials it may take is left out."""
    tuning = inputs.tuning.model_dump(exclude={"max_trials", "parallel_trials", "max_failed_trials"})
    content = {
        "train": datasets.read_manifest(inputs.train_path).digest,
        "validation": datasets.read_manifest(inputs.validation_path).digest,
        "model": inputs.model.model_dump(), "spec": inputs.train.model_dump(), "tuning": tuning,
        "label": inputs.label, "code": _code_digest(),
    }  # fmt: skip
    return "study-" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def _code_digest() -> str:
    """The digest of the code that a trial's figures depend on."""
    root = Path(fairlead.__file__).parent
    files = sorted(file for stage in ("training", "tuning") for file in (root / stage).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def choose_best(trials: Sequence[TrialRecord], tuning: TuneSpec) -> TrialRecord:
    """The trial with the best metric; the earliest of equals.

    Raises:
        DataError: No trial succeeded.
    """
    succeeded = [trial for trial in trials if trial.metric is not None]
    if not succeeded:
        raise DataError("no trial succeeded; see the trials' errors")
    sign = 1 if tuning.objective.type == "minimize" else -1
    return min(succeeded, key=lambda trial: sign * (trial.metric or 0.0))


def _best_figure(done: Sequence[TrialRecord], tuning: TuneSpec) -> dict[str, float]:
    if all(trial.metric is None for trial in done):
        return {}
    return {"best": choose_best(done, tuning).metric or 0.0}


def _metrics(best: TrialRecord, trials: Sequence[TrialRecord], tuning: TuneSpec) -> dict[str, float]:
    failed = sum(trial.metric is None for trial in trials)
    return {
        f"best_{tuning.objective.metric}": best.metric or 0.0,
        "trials_succeeded": len(trials) - failed,
        "trials_failed": failed,
        "seconds": round(sum(trial.seconds for trial in trials), 3),
    }


def _best_json(best: TrialRecord, inputs: Inputs) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "hyperparameters": best.values,
        "metric": best.metric,
        "objective": inputs.tuning.objective.metric,
        "algorithm": inputs.tuning.algorithm.name,
        "trial": best.number,
        "train_digest": datasets.read_manifest(inputs.train_path).digest,
    }

"""Searches hyperparameters: many short trainings on the latest rows."""

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fairlead
from fairlead import atomic, datasets, progress
from fairlead.errors import DataError
from fairlead.settings import settings
from fairlead.training.recipes.registry import find_recipe
from fairlead.tuning.pool import run_in_workers
from fairlead.tuning.search import Search, run_here
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.study import FAILED, FILE, STOPPED, Study, TrialRecord, open_study
from fairlead.tuning.trials import Inputs, Trainer
from fairlead.tuning.tune_model.in_cluster import ClusterSearch, find_katib
from fairlead.tuning.tune_model.report import write_report, write_trials

KEPT_STUDIES = 20  # the latest: their trials need not be run again

_FORMAT = 1
_MOST_REASONS = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuning:
    """What came out.

    Attributes:
        metrics: Figures for the run's page.
        best: The best trial.
        trials: All finished trials.
        checkpoint: Where the best trial's model lies; empty where trials ran here, which leave none.
    """

    metrics: dict[str, float]
    best: TrialRecord
    trials: list[TrialRecord]
    checkpoint: str = ""


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
        PlatformError: A worker process dies before it is ready.
    """
    inputs = Inputs.of(
        {
            "train_path": Path(train_path).absolute(), "validation_path": Path(validation_path).absolute(),
            "model": model, "train": train_spec, "tuning": tuning, "label": label,
        }
    )  # fmt: skip
    trials, checkpoint = _search(inputs)
    best = choose_best(trials, inputs.tuning)
    result = Tuning(_metrics(best, trials, inputs.tuning), best, trials, checkpoint)
    atomic.write_json(best_path, best_json(best, inputs, checkpoint))
    write_trials(trials_path, trials, inputs.tuning, str(inputs.train_path.name))
    write_report(report_path, best, trials, inputs.tuning)
    return result


def _search(inputs: Inputs) -> tuple[list[TrialRecord], str]:
    """Searches by Katib where the settings and the cluster allow it, here otherwise."""
    place = settings()
    cluster = find_katib(place)
    if cluster is None:
        return _search_here(inputs), ""
    found = ClusterSearch(inputs, cluster, place, study_folder(inputs).name, choose_best).run()
    return found.trials, found.checkpoint


def _search_here(inputs: Inputs) -> list[TrialRecord]:
    """Goes on with the study of these inputs until it is over; what it holds then."""
    spec, folder = inputs.tuning, study_folder(inputs)
    forget_old(folder.parent, folder.name)
    with open_study(folder, spec) as study:
        with progress.step("tuning", total=spec.max_trials) as step:
            _run(study, inputs, step)
        trials = study.records()[: spec.max_trials]
        failed = [trial for trial in trials if trial.state == FAILED]
        if len(failed) >= (spec.max_failed_trials or spec.max_trials):
            (folder / FILE).unlink()  # the next run starts anew: the cause may be gone
            raise DataError(
                f"{len(failed)} of {len(trials)} trials failed, so tuning was given up:\n{_reasons(failed)}"
            )
    return trials


def _run(study: Study, inputs: Inputs, step: progress.Step) -> None:
    spec = inputs.tuning
    search = Search(study, spec, lambda done: step.update(len(done), **_best_figure(done, spec)))
    if search.over():
        return
    workers = min(spec.parallel_trials, _cores())
    try:
        if workers > 1:
            run_in_workers(search, inputs, workers)
        else:
            run_here(search, Trainer(inputs))
    except KeyboardInterrupt:
        logger.warning("stopped after %d trials; run it again to go on", len(search.done))
        raise


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _reasons(failed: Sequence[TrialRecord]) -> str:
    lines = [f"- {trial.values}: {trial.error}" for trial in failed[:_MOST_REASONS]]
    more = [f"- and {len(failed) - _MOST_REASONS} more"] if len(failed) > _MOST_REASONS else []
    return "\n".join([*lines, *more])


def study_folder(inputs: Inputs) -> Path:
    """Where the trials of a search are remembered: the same for the same data, sections and code.

    How long the search may go on is left out, so that more trials of it can be asked for.
    """
    limits = {"max_trials", "parallel_trials", "max_failed_trials", "resume_policy", "maximum_seconds", "trial_seconds",
              "pod"}  # fmt: skip
    content = {
        "train": datasets.read_manifest(inputs.train_path).digest,
        "validation": datasets.read_manifest(inputs.validation_path).digest,
        "model": inputs.model.model_dump(), "spec": inputs.train.model_dump(exclude={"pod"}), "label": inputs.label,
        "tuning": inputs.tuning.model_dump(exclude={**dict.fromkeys(limits, True), "objective": {"goal"}}),
        "code": _code_digest(inputs.train.recipe), "optuna": version("optuna"),
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return settings().home / "work" / "tuning" / digest[:24]


def _code_digest(recipe: str) -> str:
    """The digest of the code that a trial's figures depend on: training's, the search's, and a user's own recipe."""
    root = Path(fairlead.__file__).parent
    files = {file for stage in ("training", "tuning") for file in (root / stage).rglob("*.py")}
    files -= {file for file in files if file.parent.name in ("train_model", "tune_model")}
    own = sys.modules[type(find_recipe(recipe)).__module__].__file__
    files |= {Path(own)} if own else set()
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def forget_old(folder: Path, name: str) -> None:
    """Removes the studies that have not been used for longest, but the named one.

    Args:
        folder: Where the studies lie.
        name: The one that is about to be used; it becomes the latest.
    """
    (folder / name).mkdir(parents=True, exist_ok=True)
    os.utime(folder / name)
    others = [(path.stat().st_mtime, path) for path in folder.iterdir() if path.name != name]
    for _, path in sorted(others)[: max(0, len(others) + 1 - KEPT_STUDIES)]:
        shutil.rmtree(path, ignore_errors=True)


def choose_best(trials: Sequence[TrialRecord], tuning: TuneSpec) -> TrialRecord:
    """The trial with the best metric; the earliest of equals.

    Raises:
        DataError: No trial succeeded.
    """
    succeeded = [trial for trial in trials if trial.succeeded]
    if not succeeded:
        counts = {state: sum(trial.state == state for trial in trials) for state in (FAILED, STOPPED)}
        raise DataError(
            f"no trial succeeded: {counts[FAILED]} failed, {counts[STOPPED]} were stopped early, of "
            f"{tuning.max_trials}; see their errors, or raise tuning.maximum_seconds if it ended the search"
        )
    sign = 1 if tuning.objective.type == "minimize" else -1
    return min(succeeded, key=lambda trial: sign * (trial.metric or 0.0))


def _best_figure(done: Sequence[TrialRecord], tuning: TuneSpec) -> dict[str, float]:
    if not any(trial.succeeded for trial in done):
        return {}
    return {"best": choose_best(done, tuning).metric or 0.0}


def _metrics(best: TrialRecord, trials: Sequence[TrialRecord], tuning: TuneSpec) -> dict[str, float]:
    figures = {f"best_{name}": best.figures[name] for name in tuning.objective.metrics}
    states = {f"trials_{name}": sum(t.state == name for t in trials) for name in ("succeeded", FAILED, STOPPED)}
    return {**figures, **states, "seconds": round(sum(trial.seconds for trial in trials), 3)}


def best_json(best: TrialRecord, inputs: Inputs, checkpoint: str = "") -> dict[str, Any]:
    """What train_model takes.

    Args:
        best: The best trial.
        inputs: What the search looked at.
        checkpoint: Where its model lies, if it left one.

    Returns:
        The hyperparameters, and where they come from.
    """
    return {
        "format": _FORMAT,
        "hyperparameters": inputs.tuning.hyperparameters(best.values),
        "metric": best.metric,
        "objective": inputs.tuning.objective.metric,
        "algorithm": inputs.tuning.algorithm.name,
        "trial": best.number,
        "train_digest": datasets.read_manifest(inputs.train_path).digest,
        **({"checkpoint": checkpoint} if checkpoint else {}),
    }

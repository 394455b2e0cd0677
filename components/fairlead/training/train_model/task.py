"""Trains a model by its recipe and leaves a checkpoint."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead import atomic
from fairlead.errors import SourceError
from fairlead.settings import settings
from fairlead.training import lineage
from fairlead.training.beside import Beside, beside
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.job import Job, do
from fairlead.training.progress import Spending, Teller, check_budget, cost_of
from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead.training.tracking import Tracked
from fairlead.training.train_model.in_cluster import ClusterTraining, find_trainer
from fairlead.training.train_model.report import write_report
from fairlead.training.work import work_folder

RESOURCES = "resources.json"


@dataclass(frozen=True)
class Training:
    """What came out.

    Attributes:
        metrics: Figures for the run's page.
        metadata: Facts for the checkpoint artifact.
    """

    metrics: dict[str, float]
    metadata: dict[str, str | int | float | bool]


def train(
    train_path: Path | str,
    validation_path: Path | str,
    checkpoint_path: Path | str,
    report_path: Path | str,
    *,
    model: Mapping[str, Any],
    train_spec: Mapping[str, Any],
    label: str,
    best_path: Path | str | None = None,
) -> Training:
    """Trains a model; one that was killed goes on where it was.

    Args:
        train_path: The dataset to learn from.
        validation_path: The dataset that chooses the epoch.
        checkpoint_path: The folder to write: weights.safetensors, checkpoint.json, and resources.json beside them.
        report_path: The HTML page to write.
        model: The problem's `model` section.
        train_spec: The problem's `train` section.
        label: The column to predict.
        best_path: What tune_model found; its hyperparameters replace those of `train_spec`.

    Returns:
        Metrics and metadata.

    Raises:
        ConfigurationError: A key, a value or the recipe's name is wrong, or they do not go together here.
        SourceError: A dataset or `best` is not finished or corrupt.
        SchemaError: A column is absent or of a wrong type.
        DataError: Too few rows, labels that will not do, or a loss that is not finite.
        BudgetError: Training used more than `train.budget` allows.
        PlatformError: One of several processes died.
    """
    job = _job(train_path, validation_path, model, train_spec, label, best_path)
    job.recipe()  # a wrong one is told before anything is read
    place = settings()
    cluster = find_trainer(job, place)
    with (
        work_folder(job) as work,
        beside(work, _tracked(job), "" if cluster else _country(job)) as companion,  # its pods are elsewhere
    ):
        training = ClusterTraining(job, cluster, place, work) if cluster else None
        checkpoint, resources = _train(job, work, companion, training)
        machines = job.spec.nodes if training else 1
        check_budget(job.spec.budget, resources["seconds"], resources.get("kilowatt_hours", 0.0), machines)
        checkpoint.write(checkpoint_path)
        atomic.write_json(Path(checkpoint_path) / RESOURCES, resources)
        result = Training(_metrics(checkpoint, resources), _metadata(checkpoint, resources))
        write_report(report_path, checkpoint, result.metrics, resources)
        companion.close("FINISHED", _final(checkpoint, result, checkpoint_path, report_path))
    if training:
        training.forget()
    return result


def _job(
    train_path: Path | str, validation_path: Path | str, model: Mapping[str, Any], train_spec: Mapping[str, Any],
    label: str, best_path: Path | str | None,
) -> Job:  # fmt: skip
    tuned = read_hyperparameters(best_path) if best_path is not None else {}
    spec = TrainSpec.parse(train_spec, "train").with_hyperparameters(tuned)
    return Job(Path(train_path), Path(validation_path), ModelSpec.parse(model, "model"), spec, label, tuned)


def _train(
    job: Job, work: Path, companion: Beside, training: ClusterTraining | None
) -> tuple[Checkpoint, dict[str, Any]]:
    """Trains, in this process or in several, here or in a cluster, and says what it took."""
    companion.begin()
    if training:
        checkpoint = training.run()
    elif job.spec.world > 1:
        from fairlead.training.engine.launch import train_together

        checkpoint = train_together(job, work)
    else:
        with Teller.of(job, work) as teller:
            checkpoint = do(job, teller, work)
    spent = Spending(work, job.spec.budget)
    machines = job.spec.nodes if training else 1
    return checkpoint, _resources(job, spent.before, companion.end(spent.before), machines)


def _resources(job: Job, seconds: float, energy: Mapping[str, Any], machines: int) -> dict[str, Any]:
    budget = job.spec.budget
    cost = cost_of(budget, seconds, energy.get("kilowatt_hours", 0.0), machines)
    priced = {"cost": cost} if budget.price_per_hour or budget.price_per_kilowatt_hour else {}
    return {"seconds": seconds, "processes": job.spec.world, **priced, **energy}


def _country(job: Job) -> str:
    return job.spec.budget.country if settings().energy else ""


def _tracked(job: Job) -> Tracked | None:
    place = settings()
    if not place.tracking:
        return None
    sections = {"model": job.model.model_dump(), "train": job.spec.model_dump(exclude={"pod"})}
    data = {
        role: lineage.describe_dataset(path) for role, path in (("train", job.train), ("validation", job.validation))
    }
    parameters = {**_flat(sections["model"], "model."), **_flat(sections["train"]), "label": job.label}
    tags = {f"{role}_digest": facts["digest"] for role, facts in data.items()}
    return Tracked(
        uri=place.tracking_uri or f"sqlite:///{place.registry_home / 'mlflow.db'}",
        home=str(place.home),
        experiment=data["train"]["name"],
        name=f"{job.spec.recipe} {job.digest()[:8]}",
        parameters=parameters,
        tags={**tags, "revision": lineage.code_revision() or ""},
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one, with dots: `options.dropout`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def read_hyperparameters(path: Path | str) -> dict[str, Any]:
    """Reads the hyperparameters that tune_model found.

    Raises:
        SourceError: The file is absent or no such JSON.
    """
    try:
        return dict(json.loads(Path(path).read_text())["hyperparameters"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} holds no hyperparameters ({error!r}); give the file that tune_model wrote") from None


def _metrics(checkpoint: Checkpoint, resources: Mapping[str, Any]) -> dict[str, float]:
    fitted, rows = checkpoint.fitted, checkpoint.lineage["train"]["rows"]
    seconds = max(resources["seconds"], 1e-9)
    figures = {
        **fitted.best.validation,
        "best_epoch": fitted.best.epoch,
        "epochs": len(fitted.epochs),
        "train_rows": rows,
        "validation_rows": checkpoint.lineage["validation"]["rows"],
        "parameters": sum(int(value.size) for value in fitted.weights.values()),
        "seconds": round(seconds, 3),
        "rows_per_second": round(rows * len(fitted.epochs) / seconds),
    }
    used = ("kilowatt_hours", "grams_co2", "mean_watts", "cost")
    return {**figures, **{name: float(f"{resources[name]:.4g}") for name in used if name in resources}}


def _metadata(checkpoint: Checkpoint, resources: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    best, used = checkpoint.fitted.best, ("seconds", "kilowatt_hours", "grams_co2", "cost")
    return {
        "recipe": checkpoint.design.spec.recipe,
        "task": checkpoint.design.model.task,
        "label": checkpoint.label,
        "seed": checkpoint.design.spec.seed,
        "best_epoch": best.epoch,
        **best.validation,
        "train_digest": checkpoint.lineage["train"]["digest"],
        "train_rows": checkpoint.lineage["train"]["rows"],
        "revision": checkpoint.lineage["revision"] or "",
        **{name: resources[name] for name in used if name in resources},
    }


def _final(
    checkpoint: Checkpoint, result: Training, checkpoint_path: Path | str, report_path: Path | str
) -> dict[str, Any]:
    """What the tracking run gets at the end."""
    curve = [{"epoch": e.epoch, "train_loss": e.train_loss, **e.validation} for e in checkpoint.fitted.epochs]
    folder = Path(checkpoint_path).absolute()
    artifacts = [folder / "checkpoint.json", folder / RESOURCES, Path(report_path).absolute()]
    return {
        "metrics": {f"final_{name}": value for name, value in result.metrics.items()},
        "curve": curve,
        "artifacts": [str(path) for path in artifacts],
    }

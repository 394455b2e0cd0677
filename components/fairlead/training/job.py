"""One training: what goes in, how it is done in this process, what comes out.

`train_model` does a job itself, or has torchrun start processes that do it together; a Kubeflow TrainJob starts the
same processes by the same command (`python -m fairlead.training.engine JOB`).
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fairlead
from fairlead import atomic, datasets
from fairlead.errors import ConfigurationError, SourceError
from fairlead.training import lineage
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.recipes.protocol import Observer, Recipe
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.recipes.torch_recipe import TorchRecipe
from fairlead.training.spec import ModelSpec, TrainSpec

_NOT_LEARNT = {"budget", "save_every_seconds", "keep_snapshots", "pod"}  # a training goes on when these change


@dataclass(frozen=True)
class Job:
    """What a training is given.

    Attributes:
        train: The dataset to learn from.
        validation: The dataset that chooses the epoch.
        model: The problem's `model` section.
        spec: The problem's `train` section, with the hyperparameters that tuning found.
        label: The column to predict.
        tuned: Those hyperparameters.
    """

    train: Path
    validation: Path
    model: ModelSpec
    spec: TrainSpec
    label: str
    tuned: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self) -> Recipe:
        """Makes the recipe.

        Raises:
            ConfigurationError: There is none of that name, or it cannot train in several processes.
        """
        recipe = find_recipe(self.spec.recipe)
        if self.spec.world > 1 and not isinstance(recipe, TorchRecipe):
            raise ConfigurationError(
                f"train.processes={self.spec.processes}, train.nodes={self.spec.nodes}: recipe {self.spec.recipe!r} "
                "trains in one process (it is not on torch); set both to 1, and train.threads to use more cores"
            )
        return recipe

    def digest(self) -> str:
        """What decides how training goes: data, sections, code and libraries, as 64 hex digits."""
        content = {
            "train": datasets.read_manifest(self.train).digest,
            "validation": datasets.read_manifest(self.validation).digest,
            "model": self.model.model_dump(),
            "spec": self.spec.model_dump(exclude=_NOT_LEARNT),
            "label": self.label,
            "code": _code_digest(self.recipe()),
            "versions": lineage.library_versions(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Writes the job as JSON."""
        atomic.write_json(path, self.content())

    def content(self) -> dict[str, Any]:
        """The job as JSON values."""
        sections = {"model": self.model.model_dump(), "spec": self.spec.model_dump(exclude={"pod"})}
        paths = {"train": str(self.train.absolute()), "validation": str(self.validation.absolute())}
        return {**paths, **sections, "label": self.label, "tuned": dict(self.tuned)}

    @classmethod
    def read(cls, path: Path) -> "Job":
        """Reads a job.

        Raises:
            SourceError: The file is absent or no such JSON.
            ConfigurationError: A section is wrong.
        """
        try:
            content = json.loads(path.read_text())
            sections, paths = (content["model"], content["spec"]), (Path(content["train"]), Path(content["validation"]))
            label, tuned = content["label"], content["tuned"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{path} holds no training job ({error!r}); train_model writes them") from None
        return cls(*paths, ModelSpec.parse(sections[0], "model"), TrainSpec.parse(sections[1], "train"), label, tuned)


def do(job: Job, observe: Observer, work: Path) -> Checkpoint:
    """Trains in this process, alone or as one of several.

    Args:
        job: What to train.
        observe: Told how far training is.
        work: The folder from which a killed training goes on.

    Returns:
        The checkpoint; without weights in a process that is not the first.

    Raises:
        FairleadError: See `train_model`'s task.
    """
    recipe = job.recipe()
    data = recipe.prepare(job.train, job.validation, job.model, job.spec, job.label)
    recipe.load()
    observe(0.0, None)
    fitted = recipe.fit(data, observe, work)
    return Checkpoint(data.design, job.label, fitted, _lineage(job, fitted.facts), data.statistics)


def _lineage(job: Job, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the model comes from; no times of day, so that equal trainings give equal checkpoints."""
    return {
        "train": lineage.describe_dataset(job.train),
        "validation": lineage.describe_dataset(job.validation),
        "tuned": dict(job.tuned),
        "computed": dict(facts),
        "versions": lineage.library_versions(),
        "revision": lineage.code_revision(),
    }


def _code_digest(recipe: Recipe) -> str:
    """The digest of the stage's code and of the file of the recipe, which may be the user's own."""
    files = sorted((Path(fairlead.__file__).parent / "training").rglob("*.py"))
    own = getattr(sys.modules.get(type(recipe).__module__), "__file__", None)
    content = b"".join(file.read_bytes() for file in [*files, *([Path(own)] if own else [])])
    return hashlib.sha256(content).hexdigest()

"""Checkpoints: what training leaves behind, as numbers and JSON. No pickle, so opening one runs no code."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fairlead import atomic
from fairlead.errors import SourceError
from fairlead.training.recipes.protocol import Design, Epoch, Fitted, Weights
from fairlead.training.spec import ModelSpec, TrainSpec

WEIGHTS = "weights.safetensors"
DESCRIPTION = "checkpoint.json"
_FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and where it comes from.

    Attributes:
        design: Task, inputs, hyperparameters, vocabularies and classes: what makes the model, with the weights.
        label: The column that it predicts.
        fitted: Weights, learning curve, best epoch.
        lineage: The datasets' digests and rows, the versions of libraries, the revision of the code.
        statistics: See `Prepared.statistics`.
    """

    design: Design
    label: str
    fitted: Fitted
    lineage: dict[str, Any] = field(default_factory=dict)
    statistics: dict[str, dict[str, float | None]] = field(default_factory=dict)

    def write(self, path: Path | str) -> None:
        """Writes the checkpoint's folder, whole or not at all. Equal trainings give equal bytes."""
        from safetensors.numpy import save

        with atomic.directory(path) as folder:
            weights = {name: np.asarray(value, order="C") for name, value in self.fitted.weights.items()}
            atomic.write_bytes(folder / WEIGHTS, save(weights))
            atomic.write_json(folder / DESCRIPTION, self._description())

    def _description(self) -> dict[str, Any]:
        design = self.design
        return {
            "format": _FORMAT,
            "recipe": design.spec.recipe,
            "task": design.model.task,
            "label": self.label,
            "model": design.model.model_dump(),
            "spec": design.spec.model_dump(exclude={"pod"}),
            "seed": design.spec.seed,
            "best_epoch": asdict(self.fitted.best),
            "learning_curve": [asdict(epoch) for epoch in self.fitted.epochs],
            "lineage": self.lineage,
            "statistics": self.statistics,
            "vocabularies": {name: list(words) for name, words in design.vocabularies.items()},
            "classes": list(design.classes),
            "image_shape": list(design.image_shape),
        }

    @classmethod
    def read(cls, path: Path | str) -> "Checkpoint":
        """Reads a checkpoint.

        Raises:
            SourceError: There is no finished checkpoint at the path, or it is corrupt or of another format.
        """
        content, weights = _read_description(Path(path)), _read_weights(Path(path))
        try:
            model = ModelSpec.parse(content["model"], "model")
            spec, words = TrainSpec.parse(content["spec"], "train"), content["vocabularies"]
            design = Design(model, spec, words, tuple(content["classes"]), tuple(content["image_shape"]))
            curve = [Epoch(**epoch) for epoch in content["learning_curve"]]
            fitted = Fitted(weights, curve, Epoch(**content["best_epoch"]))
            return cls(design, content["label"], fitted, content["lineage"], content["statistics"])
        except (KeyError, TypeError) as error:
            raise SourceError(f"{path}/{DESCRIPTION} lacks or garbles {error}; train the model again") from None


def _design(content: dict[str, Any]) -> Design:
    model, spec = ModelSpec.parse(content["model"], "model"), TrainSpec.parse(content["spec"], "train")
    return Design(model, spec, content["vocabularies"], tuple(content["classes"]), tuple(content["image_shape"]))


def _read_description(folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())
    except FileNotFoundError:
        raise SourceError(f"no finished checkpoint at {folder}: {DESCRIPTION} is missing; run train_model") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{folder}/{DESCRIPTION} cannot be read ({error}); train the model again") from None
    if content.get("format") != _FORMAT:
        raise SourceError(f"the checkpoint {folder} is of another format than {_FORMAT}; train the model again")
    return content


def _read_weights(folder: Path) -> Weights:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError) as error:
        raise SourceError(f"{folder}/{WEIGHTS} cannot be read ({error}); train the model again") from None

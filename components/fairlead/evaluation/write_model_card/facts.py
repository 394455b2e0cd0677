"""What is known of a model, gathered from its package, its training and its verdicts; nothing else goes into a card."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fairlead.errors import ConfigurationError, PackageError, VerdictError
from fairlead.evaluation.write_model_card.spec import CardSpec
from fairlead.verdicts import Verdict
from fairlead_serving.package import Manifest, ModelPackage, PackageInvalidError

FORMAT = 1
ENERGY = "kilowatt_hours"
"""What train_model calls the energy that it measured."""

JUDGES = ("evaluation", "slices", "behaviour", "comparison", "server", "load", "canary")


@dataclass(frozen=True)
class CardFacts:
    """All that a card is made from.

    Attributes:
        digest: The model's identity.
        manifest: What the package says of itself.
        lineage: How it was made; empty where the package does not say.
        training: Figures of its training by name; empty where none were given.
        verdicts: By judge.
        test: The manifest of the test rows, as plain values; empty where it was not given.
        spec: The human part.
    """

    digest: str
    manifest: Manifest
    lineage: Mapping[str, Any]
    training: Mapping[str, Any]
    verdicts: Mapping[str, Verdict]
    test: Mapping[str, Any]
    spec: CardSpec

    def to_json(self) -> dict[str, Any]:
        """The card for machines: the same facts, under names that do not change."""
        manifest = self.manifest
        return {
            "format": FORMAT,
            "model": {
                "name": manifest.name, "digest": self.digest, "task": manifest.task, "label": manifest.label,
                "classes": list(manifest.classes), "threshold": manifest.threshold,
                "inputs": [entry.to_json() for entry in manifest.inputs], "outputs": list(manifest.outputs),
            },
            "training": {"lineage": dict(self.lineage), "figures": dict(self.training)},
            "test": dict(self.test),
            "verdicts": {judge: asdict(verdict) for judge, verdict in self.verdicts.items()},
            "people": self.spec.model_dump(mode="json"),
            "not_recorded": self.missing,
        }  # fmt: skip

    @property
    def missing(self) -> list[str]:
        """What a reader would look for, and nobody has recorded."""
        people = [f"card.{name}" for name, value in self.spec if not value]
        judges = [f"verdict {judge}" for judge in JUDGES[:-1] if judge not in self.verdicts]
        energy = self.training.get(ENERGY) is not None
        other = {"lineage": self.lineage, "training figures": self.training, "energy": energy, "test data": self.test}
        return [*people, *judges, *(name for name, value in other.items() if not value)]


def gather(
    package: Path | str,
    card_spec: Mapping[str, Any],
    verdicts: Iterable[Path | str],
    training: Mapping[str, Any] | None = None,
    test: Path | str | None = None,
) -> CardFacts:
    """Gathers what is known.

    Args:
        package: The model package's folder.
        card_spec: The section `card` of a problem.
        verdicts: The verdicts' files.
        training: Figures of the training.
        test: The dataset that the model was evaluated on.

    Returns:
        The facts.

    Raises:
        PackageError: The package is broken.
        VerdictError: A verdict is none, is for another model, or one judge has two.
        ConfigurationError: A key of `card` is wrong.
        SourceError: The test dataset is unfinished.
    """
    try:
        opened = ModelPackage.open(package)
    except PackageInvalidError as error:
        raise PackageError(str(error)) from None
    known = [Verdict.read(path) for path in verdicts]
    _check(known, opened.digest)
    return CardFacts(
        opened.digest, opened.manifest, _lineage(opened.path), _figures(training or {}),
        {verdict.judge: verdict for verdict in sorted(known, key=_rank)}, _dataset(test),
        CardSpec.parse(card_spec, "card"),
    )  # fmt: skip


def _rank(verdict: Verdict) -> int:
    return JUDGES.index(verdict.judge) if verdict.judge in JUDGES else len(JUDGES)


def _check(verdicts: Iterable[Verdict], digest: str) -> None:
    seen: set[str] = set()
    for verdict in verdicts:
        if verdict.model_digest != digest:
            raise VerdictError(
                f"the verdict of {verdict.judge} is for {verdict.model_digest[:19]}, the card for {digest[:19]}; give "
                "the verdicts of this model"
            )
        if verdict.judge in seen:
            raise VerdictError(f"there are two verdicts of {verdict.judge}; give the card one of each judge")
        seen.add(verdict.judge)


def _lineage(package: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((package / "fairlead" / "lineage.json").read_bytes()))
    except FileNotFoundError:
        return {}  # a package need not say how it was made
    except (OSError, ValueError, TypeError) as error:
        raise PackageError(f"the package {package} has no readable lineage ({error}); export the model again") from None


def _figures(training: Mapping[str, Any]) -> dict[str, float | str | bool]:
    """The single values of a Metrics artifact's metadata, or of a checkpoint's."""
    if not isinstance(training, Mapping):
        raise ConfigurationError("the training's figures must be names with values")
    return {str(key): value for key, value in training.items() if isinstance(value, str | int | float)}


def _dataset(path: Path | str | None) -> dict[str, Any]:
    if path is None:
        return {}
    from fairlead import datasets

    return dict(datasets.read_manifest(path).metadata())

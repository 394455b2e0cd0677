"""The models that are compared: opened, checked, and predicted with on the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairlead.errors import ConfigurationError, SchemaError
from fairlead.evaluation.comparison_spec import ComparisonSpec
from fairlead.evaluation.figures import prepare
from fairlead.evaluation.resampling import Resampling
from fairlead.evaluation.scoring import Contestant, Scores, check_columns, open_package, package_predictor, score
from fairlead.evaluation.spec import EvaluationSpec

CHALLENGER, CHAMPION = "challenger", "champion"
_ADVICE = (
    "if the problem's inputs have changed for good, the two models cannot be compared: remove the alias `champion` "
    "and roll the new model out as the first of its kind"
)


@dataclass(frozen=True)
class Contest:
    """Models and what they predict.

    Attributes:
        models: The challenger, the champion if there is one, and the challenger's other trainings, by name.
        scores: Their predictions on the same rows.
        spec: How they are compared.
        drawn: How rows are resampled.
    """

    models: Mapping[str, Contestant]
    scores: Scores
    spec: ComparisonSpec
    drawn: Resampling

    @property
    def task(self) -> str:
        """What the models answer."""
        return self.scores.task

    @property
    def trainings(self) -> list[str]:
        """The names of the challenger and of its other trainings."""
        return [name for name in self.models if name != CHAMPION]

    @property
    def thresholds(self) -> dict[str, float]:
        """By model, the probability from which its answer is yes."""
        return {name: model.package.manifest.threshold for name, model in self.models.items()}

    def digest(self, name: str) -> str:
        """A model's digest; `none` where there is no such model."""
        return self.models[name].package.digest if name in self.models else "none"


def meet(
    challenger: Path | str,
    champion: Path | str | None,
    seeds: Sequence[Path | str],
    test: Path | str,
    label: str,
    spec: ComparisonSpec,
) -> Contest:
    """Opens the models, and predicts every row with each of them.

    Args:
        challenger: The package that may take over.
        champion: The package that serves now, or None.
        seeds: The challenger's recipe trained with other seeds; one that is the challenger itself counts once.
        test: Rows that none was trained on.
        label: The label's column.
        spec: How they are compared.

    Raises:
        ConfigurationError: The models do not answer the same question, or not in the way that `spec` asks for.
        SchemaError: A model takes columns that the rows do not have.
    """
    models = {CHALLENGER: _contestant(challenger, test, label, CHALLENGER, spec)}
    if champion is not None:
        models[CHAMPION] = _contestant(champion, test, label, CHAMPION, spec)
    seen = {models[CHALLENGER].package.digest}
    for number, path in enumerate(seeds, 1):
        training = _contestant(path, test, label, f"training {number}", spec)
        if training.package.digest not in seen:
            seen.add(training.package.digest)
            models[training.role] = training
    spec.margins(models[CHALLENGER].package.manifest.task)
    scores = score(test, label, models, spec.columns(), spec.group)
    asked = EvaluationSpec(
        confidence=spec.confidence, resamples=spec.resamples, interval=spec.interval, cluster=spec.cluster,
        seed=spec.seed,
    )  # fmt: skip
    return Contest(models, scores, spec, prepare(scores, asked))


def _contestant(path: Path | str, test: Path | str, label: str, role: str, spec: ComparisonSpec) -> Contestant:
    package = open_package(path, role)
    if package.manifest.label != label:
        raise ConfigurationError(
            f"the {role} predicts {package.manifest.label!r}, and is to be compared by {label!r}; two models can only "
            "be compared on the label that both were trained for"
        )
    try:
        check_columns(test, package, [label, *spec.columns()], role)
    except SchemaError as error:
        raise SchemaError(f"{error}; {_ADVICE}" if role == CHAMPION else str(error)) from None
    return Contestant(package, package_predictor(package, role), role)

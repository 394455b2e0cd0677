"""The model that is judged: by its package, or by predictions that the package made elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fairlead.datasets import read_manifest
from fairlead.errors import ConfigurationError, PackageError, SchemaError, nearest
from fairlead.evaluation.baselines import (
    BY_COLUMN,
    Baselines,
    check_baselines,
    column_baseline,
    fit_baselines,
)
from fairlead.evaluation.evaluate_model.findings import MODEL
from fairlead.evaluation.figure_names import baseline_of
from fairlead.evaluation.loss_names import TEXT
from fairlead.evaluation.predictions import read_predictions
from fairlead.evaluation.scoring import Contestant, Scores, check_columns, open_package, package_predictor, score
from fairlead.evaluation.spec import EvaluationSpec
from fairlead_serving.package import ModelPackage, PackageInvalidError, package_digest


@dataclass(frozen=True)
class Judged:
    """What is judged, and on what.

    Attributes:
        digest: The package's identity.
        name: The model's name.
        task: What it answers.
        label: The label's column.
        package: The opened package; None where only its digest is known (text generation).
        test: The test dataset's folder.
        train: The training dataset's folder, if any.
        predictions: The dataset of predictions, if they were made elsewhere.
    """

    digest: str
    name: str
    task: str
    label: str
    package: ModelPackage | None
    test: Path | str
    train: Path | str | None
    predictions: Path | str | None

    @property
    def threshold(self) -> float:
        """The probability from which the answer is yes."""
        return self.package.manifest.threshold if self.package else 0.5

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of a multiclass model."""
        return self.package.manifest.classes if self.package else ()


@dataclass(frozen=True)
class Scored:
    """The rows, predicted.

    Attributes:
        scores: Labels and predictions of the model and of baselines.
        fitted: What was fitted.
        notes: What a reader must know about both.
        remarks: What the verdict must tell besides.
    """

    scores: Scores
    fitted: Baselines
    notes: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def judged_model(
    path: Path | str,
    test: Path | str,
    label: str,
    spec: EvaluationSpec,
    train: Path | str | None,
    predictions: Path | str | None,
) -> Judged:
    """Opens what is to be judged, and makes sure that everything fits before the long work begins.

    Raises:
        ConfigurationError: Settings do not fit the model or its task.
        SchemaError: A dataset lacks a column.
        PackageError: The package is broken.
    """
    if spec.task == TEXT:
        judged = _text_model(path, test, label, train, predictions)
    else:
        package = open_package(path)
        manifest = package.manifest
        if spec.task not in ("", manifest.task):
            raise ConfigurationError(f"evaluation.task is {spec.task!r}, and the package's {manifest.task!r}; drop it")
        judged = Judged(package.digest, manifest.name, manifest.task, label, package, test, train, predictions)
    _check(judged, spec)
    return judged


def _text_model(
    path: Path | str, test: Path | str, label: str, train: Path | str | None, predictions: Path | str | None
) -> Judged:
    if predictions is None:
        raise ConfigurationError(
            "text generation is judged by texts that were generated elsewhere; give evaluate_model the dataset "
            "`predictions`"
        )
    try:
        digest = package_digest(path)
    except PackageInvalidError as error:
        raise PackageError(f"the model cannot be identified: {error}") from None
    return Judged(digest, Path(path).name, TEXT, label, None, test, train, predictions)


def _check(judged: Judged, spec: EvaluationSpec) -> None:
    check_baselines(spec.baselines, judged.task)
    if judged.task == "ranking" and not spec.group:
        raise ConfigurationError("a ranking is judged group by group; name the column as `group` in evaluation")
    needed = [gate.metric for gate in spec.gates if baseline_of(gate.metric) not in ("", "copy")]
    if judged.train is None and needed:
        raise ConfigurationError(f"gate {needed[0]!r} needs baselines; give evaluate_model the training rows (train)")
    others = [judged.label, *spec.columns()]
    fitted = [name for name in spec.baselines if name not in BY_COLUMN]
    if judged.package is None or (judged.predictions is not None and not fitted):
        _check_others(judged.test, others)
        return
    if judged.package.manifest.label != judged.label:
        raise ConfigurationError(
            f"the model predicts {judged.package.manifest.label!r}, and is to be judged by {judged.label!r}; give the "
            "label that it was trained for"
        )
    check_columns(judged.test, judged.package, others)
    if judged.train is not None and fitted:
        check_columns(judged.train, judged.package, [judged.label])


def _check_others(path: Path | str, columns: Sequence[str]) -> None:
    present = list(read_manifest(path).columns)
    for column in columns:
        if column not in present:
            raise SchemaError(f"dataset {path} has no column {column!r}; {nearest(column, present)}")


def score_all(judged: Judged, spec: EvaluationSpec) -> Scored:
    """Predicts the test rows with the model and the baselines.

    Args:
        judged: The model.
        spec: Which baselines, and which columns are needed.

    Raises:
        DataError: Labels or predictions do not fit.
        SchemaError: Columns do not fit.
    """
    fitted = _fit(judged, spec)
    models = {}
    if judged.package is not None:
        predictors = {} if judged.predictions is not None else {MODEL: package_predictor(judged.package)}
        models = {n: Contestant(judged.package, p) for n, p in {**predictors, **fitted.predictors}.items()}
    kept = [spec.cluster] if spec.cluster else []
    kind = (judged.task, judged.classes)
    scores = score(judged.test, judged.label, models, kept, spec.group, kind)
    found: dict[str, np.ndarray] = dict(scores.predictions)
    remarks: tuple[str, ...] = ()
    if judged.predictions is not None:
        found[MODEL], told = read_predictions(
            judged.predictions, judged.test, spec, judged.task, judged.classes, judged.digest
        )
        remarks = (_SAID if told else _UNSAID,)
    for name in (name for name in spec.baselines if name in BY_COLUMN):
        column = spec.item if name == "popularity" else spec.source
        answers = column_baseline(name, judged.test, judged.train, judged.label, column)
        found |= {} if answers is None else {name: answers}
    return Scored(replace(scores, predictions=found), fitted, (*fitted.notes, *remarks), remarks)


_SAID = "The model was judged by predictions that were made elsewhere; each says that this very package made it."
_UNSAID = (
    "The model was judged by predictions that were made elsewhere and do not say which model made them (they have no "
    "column `digest`): they are taken for this one's."
)


def _fit(judged: Judged, spec: EvaluationSpec) -> Baselines:
    if not [name for name in spec.baselines if name != "copy"]:
        return Baselines({}, 0, 0)
    if judged.train is None:
        return Baselines({}, 0, 0, ("No baselines were fitted, for want of training rows.",))
    if judged.package is None:
        return Baselines({}, 0, 0)
    return fit_baselines(
        spec.baselines, judged.train, judged.label, judged.package, spec.maximum_baseline_rows, spec.seed
    )

"""A problem: everything that a pipeline knows about what it solves, declared in one YAML.

A pipeline's parameter takes the part of the problem that bears its name: `train` takes the section `train`,
`data_flights_source` takes `data.flights.source`.
"""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from fairlead.deployment.spec import RolloutSpec, ServingSpec
from fairlead.errors import ConfigurationError, nearest
from fairlead.evaluation.behaviour_spec import BehaviourSpec
from fairlead.evaluation.comparison_spec import ComparisonSpec
from fairlead.evaluation.serving_spec import LoadSpec, ServerSpec
from fairlead.evaluation.slice_spec import SliceSpec
from fairlead.evaluation.spec import EvaluationSpec
from fairlead.evaluation.write_datasheet.spec import DatasheetSpec
from fairlead.evaluation.write_model_card.spec import CardSpec
from fairlead.features.spec import FeatureSpec, LabelSpec, RequestSpec
from fairlead.ingestion.augment_dataset.spec import AugmentationSpec
from fairlead.ingestion.spec import Expectations, SplitSpec, TableSpec
from fairlead.optimization.calibration_spec import CalibrationSpec
from fairlead.registry.spec import PolicySpec
from fairlead.sections import Section
from fairlead.training.recipes.registry import locate_recipe
from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead.tuning.spec import TuneSpec


class QuantizationSpec(Section):
    """When an INT8 model is kept.

    Attributes:
        tolerance: How much its log loss may exceed the float model's.
    """

    tolerance: float = Field(default=0.002, ge=0)


class Problem(Section):
    """One problem; every section but the name may be left out where the pipeline does not use it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    question: str = ""
    as_of: str = ""
    data: dict[str, TableSpec] = {}
    expectations: Expectations | None = None
    features: FeatureSpec | None = None
    request: RequestSpec | None = None
    label: LabelSpec | None = None
    split: SplitSpec | None = None
    augmentation: AugmentationSpec | None = None
    model: ModelSpec | None = None
    train: TrainSpec | None = None
    tuning: TuneSpec | None = None
    quantization: QuantizationSpec | None = None
    calibration: CalibrationSpec | None = None
    evaluation: EvaluationSpec | None = None
    slices: SliceSpec | None = None
    behaviour: BehaviourSpec | None = None
    comparison: ComparisonSpec | None = None
    server: ServerSpec | None = None
    load: LoadSpec | None = None
    card: CardSpec | None = None
    datasheet: DatasheetSpec | None = None
    policy: PolicySpec | None = None
    serving: ServingSpec | None = None
    rollout: RolloutSpec | None = None


def load_problem(path: Path | str, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Reads a problem, applies overrides, checks every key and value, and resolves what it refers to.

    Args:
        path: The problem.yaml.
        overrides: `section.key=value`, the value in YAML: `train.options.hidden=64`, `split.train_until=2013-07-01`.

    Returns:
        The problem as plain values (what pipelines take as arguments). Queries hold the SQL itself, local folders are
        absolute, and `window` is added: the first and last event time of the split.

    Raises:
        ConfigurationError: The file is missing or no YAML; a key is wrong (the nearest right one is named); a value is
            not allowed; a file that it refers to is missing.
    """
    file = Path(path)
    values = _read(file)
    for override in overrides:
        _apply(values, override)
    Problem.parse(values, "problem")
    return _resolve(values, file.parent)


def _read(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ConfigurationError(f"the problem {file} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"the problem {file} is no YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"the problem {file} holds no keys; see docs/first-pipeline.md for an example")
    return {str(key): _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    """Dates and times that YAML recognised become ISO text again, as KFP passes JSON only."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigurationError(f"{override!r} is no override; write section.key=value, such as train.epochs=3")
    *path, last = key.split(".")
    place = values
    for depth, part in enumerate(path):
        inner = place.setdefault(part, {}) if depth or part in Problem.model_fields else None
        if not isinstance(inner, dict):
            where = ".".join(path[: depth + 1])
            raise ConfigurationError(f"{override!r}: there is no section {where!r}; {nearest(part, place)}")
        place = inner
    value = _plain(yaml.safe_load(text))
    place[last] = [value] if isinstance(place.get(last), list) and not isinstance(value, list) else value


def _resolve(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    resolved = copy.deepcopy(values)
    features, split = resolved.get("features"), resolved.get("split")
    if features:
        features["queries"] = _queries(folder / features["queries"])
        if features["repository"].startswith((".", "/")):
            features["repository"] = str((folder / features["repository"]).resolve())
    train = resolved.get("train")
    if train and "recipe" in train:
        train["recipe"] = locate_recipe(train["recipe"], folder)
    if split and "start" in split:
        resolved["window"] = [split["start"], split["test_until"]]
    for table in resolved.get("data", {}).values():
        source = table.get("source", "")
        if source.startswith("./"):
            table["source"] = str((folder / source).resolve())
    return resolved


def _queries(folder: Path) -> dict[str, str]:
    files = sorted(folder.glob("*.sql"))
    if not files:
        raise ConfigurationError(f"features.queries: no .sql file in {folder}; each file makes the table of its name")
    return {file.stem: file.read_text() for file in files}


def arguments_for(parameters: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Finds the part of a problem that each parameter of a pipeline takes.

    Args:
        parameters: The pipeline's parameter names; the values are not looked at.
        values: The problem, as `load_problem` gives it.

    Returns:
        An argument for every parameter that the problem has a part for.
    """
    found = {name: _part(name.split("_"), values) for name in parameters}
    return {name: value for name, value in found.items() if value is not None}


def _part(words: list[str], values: Any) -> Any:
    if not words:
        return values
    if not isinstance(values, Mapping):
        return None
    for count in range(len(words), 0, -1):
        key = "_".join(words[:count])
        if key in values:
            found = _part(words[count:], values[key])
            if found is not None:
                return found
    return None

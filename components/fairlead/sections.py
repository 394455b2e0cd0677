"""The base of every section of a problem's YAML: unknown keys are errors that name the nearest right one."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from fairlead.errors import ConfigurationError, nearest


class Section(BaseModel):
    """One section of a problem, as a frozen model that forbids unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """Makes the section from plain values, such as a parameter that KFP passed.

        Args:
            values: Keys and values; whole floats are taken for integers (KFP sends 3 as 3.0).
            where: The section's name in the problem, for messages: `train`.

        Returns:
            The section.

        Raises:
            ConfigurationError: A key is unknown (the nearest is named), missing, or its value is not allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigurationError("\n".join(_explain(cls, dict(entry), where) for entry in error.errors())) from None


def _explain(model: type[BaseModel], entry: dict[str, Any], where: str) -> str:
    location = ".".join((where, *(str(part) for part in entry["loc"])))
    if entry["type"] == "extra_forbidden":
        return f"{location}: there is no such key; {nearest(str(entry['loc'][-1]), _keys_at(model, entry['loc'][:-1]))}"
    if entry["type"] == "missing":
        return f"{location}: this key is required; add it"
    said = entry["msg"].removeprefix("Value error, ")
    got = "" if isinstance(entry["input"], Mapping | BaseModel) else f" (got {entry['input']!r})"  # a section is long
    return f"{location}: {said}{got}"


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys allowed at a place inside the model; follows nested models, lists and unions by their field's models."""
    current = [model]
    for part in location:
        found = [_models_in(m.model_fields[part].annotation) for m in current if part in m.model_fields]
        current = [m for group in found for m in group] or current
    return sorted({field.alias or name for m in current for name, field in m.model_fields.items()})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in getattr(annotation, "__args__", ()) for m in _models_in(argument)]

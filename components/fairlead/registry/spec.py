"""What a problem's YAML says about who must have approved a model: the section `policy`."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from fairlead.errors import nearest
from fairlead.sections import Section
from fairlead.signatures import read_public_key

JUDGES = ("evaluation", "slices", "behaviour", "comparison", "server", "load", "canary")
"""Who can judge a model; a verdict's `judge` is one of these."""

EVERY = "*"


class PolicySpec(Section):
    """Whose approval a model needs, and whose signature makes an approval count.

    Attributes:
        registration: Judges whose verdicts register_model demands.
        deployment: Judges whose verdicts deploy_model and roll_out_model demand.
        keys: By judge, or `*` for all others, the names of those who may sign its verdicts; a judge without may stay
            unsigned.
        trusted: The public keys by name (PEM, or base64 of 32 bytes); several for one name while one key follows
            another. A place's own `trust_file` takes their place.
        maximum_age_days: How old a verdict may be; any age where it is left out.
        models: The names of the models that this policy is for; all where it is empty.
        valid_until: When the policy ends (ISO 8601); never where it is empty.
        signed_by: The name of the key that signed this policy, where it is signed (`fairlead keys policy`).
        signature: That signature, over all of the above.
    """

    registration: tuple[str, ...] = ("evaluation",)
    deployment: tuple[str, ...] = ("evaluation",)
    keys: dict[str, tuple[str, ...]] = {}
    trusted: dict[str, tuple[str, ...]] = {}
    maximum_age_days: float | None = Field(default=None, gt=0)
    models: tuple[str, ...] = ()
    valid_until: str = ""
    signed_by: str = ""
    signature: str = ""

    @field_validator("registration", "deployment")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _check_judges(value, JUDGES)
        return value

    @field_validator("keys", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return {name: _as_list(inner) for name, inner in value.items()} if isinstance(value, dict) else value

    @field_validator("keys")
    @classmethod
    def _somebody(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        _check_judges(value, (*JUDGES, EVERY))
        for judge, names in value.items():
            if not names:
                raise ValueError(f"nobody may sign for {judge!r}; name a key, or leave {judge!r} out")
        return value

    @field_validator("trusted", mode="before")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        return read_trusted(value) if isinstance(value, dict) else value

    @field_validator("valid_until", mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        return value.isoformat() if isinstance(value, date) else value  # YAML reads 2027-01-01 as a date

    @field_validator("valid_until")
    @classmethod
    def _a_time(cls, value: str) -> str:
        if value and datetime.fromisoformat(value).tzinfo is None:
            return datetime.fromisoformat(value).replace(tzinfo=UTC).isoformat()
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.trusted and not self.keys:
            raise ValueError("`trusted` without `keys` demands nothing; say who must sign: keys: {'*': [NAME]}")
        for name in dict.fromkeys(name for names in self.keys.values() for name in names) if self.trusted else ():
            if name not in self.trusted:
                raise ValueError(f"`trusted` has no key of {name!r}, whom `keys` names; {nearest(name, self.trusted)}")
        return self


def read_trusted(entries: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Reads public keys by name.

    Args:
        entries: For each name a key or several: PEM, or base64 of 32 bytes.

    Returns:
        For each name its keys, base64.

    Raises:
        ValueError: A key is none.
    """
    found = {}
    for name, given in entries.items():
        try:
            found[str(name)] = tuple(read_public_key(str(key)) for key in _as_list(given))
        except ValueError as error:
            raise ValueError(f"the key of {name!r}: {error}") from None
        if not found[str(name)]:
            raise ValueError(f"{name!r} has no key; give one, or leave the name out")
    return found


def _as_list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _check_judges(names: Iterable[str], allowed: Sequence[str]) -> None:
    for judge in names:
        if judge not in allowed:
            raise ValueError(f"there is no judge {judge!r}; {nearest(judge, allowed)}")

"""Lineage both ways: what a version was made from and where it is served, and what became of a dataset."""

from dataclasses import dataclass

from fairlead.errors import ConfigurationError
from fairlead.registry import store
from fairlead.registry.deployments import Deployment, deployments
from fairlead.registry.records import Registered

_FEWEST_DIGITS = 6
_DIGEST = ".digest"


@dataclass(frozen=True)
class Dataset:
    """A dataset that went into a model.

    Attributes:
        role: As what: `train`, `validation`, `reference`.
        name: Its name.
        digest: Its content's identity.
        rows: How many rows it has; empty if unknown.
        source: Where it came from; empty if unknown.
    """

    role: str
    name: str
    digest: str
    rows: str = ""
    source: str = ""


@dataclass(frozen=True)
class Lineage:
    """Where a version comes from, and where it went.

    Attributes:
        version: The version.
        datasets: What it was made from.
        revision: The revision of the code; empty if unknown.
        run: The pipeline run that registered it; empty if unknown.
        made_from: The model that it was made from, such as the one that was quantized: its digest, or empty.
        served: Where it is served.
    """

    version: Registered
    datasets: tuple[Dataset, ...]
    revision: str
    run: str
    made_from: str
    served: tuple[Deployment, ...]


def lineage_of(known: Registered) -> Lineage:
    """Tells where a version comes from, and where it went.

    Raises:
        StateError: The registry cannot be read.
    """
    facts = known.lineage
    served = deployments(known.name).get(known.digest, [])
    made_from = facts.get("quantized_from", facts.get("calibrated_from", ""))
    return Lineage(known, datasets_of(known), facts.get("revision", ""), facts.get("run", ""), made_from, tuple(served))


def datasets_of(known: Registered) -> tuple[Dataset, ...]:
    """The datasets that a version was made from, by role."""
    facts = known.lineage
    roles = [key.removesuffix(_DIGEST) for key in facts if key.endswith(_DIGEST)]
    return tuple(
        Dataset(
            role,
            facts.get(f"{role}.name", ""),
            facts[f"{role}{_DIGEST}"],
            facts.get(f"{role}.rows", ""),
            facts.get(f"{role}.source", ""),
        )
        for role in sorted(roles)
    )


def models_from(dataset: str) -> list[tuple[Registered, Dataset]]:
    """The versions that a dataset went into, with the part that it had.

    Args:
        dataset: Its digest, or its first digits; or its name.

    Raises:
        ConfigurationError: Too few digits.
        StateError: The registry cannot be read.
    """
    digits = _digits(dataset)
    return [
        (known, used)
        for name in store.names()
        for known in store.versions(name)
        for used in datasets_of(known)
        if used.name == dataset or (digits and _hex(used.digest).startswith(digits))
    ]


def versions_like(digest: str) -> list[Registered]:
    """The versions, of whatever model, whose digest begins so.

    Args:
        digest: A digest or its first digits.

    Raises:
        ConfigurationError: Too few digits.
        StateError: The registry cannot be read.
    """
    digits = _digits(digest)
    if not digits:
        return []
    return [known for name in store.names() for known in store.versions(name) if _hex(known.digest).startswith(digits)]


def find_version(what: str) -> Registered | None:
    """Finds a version by `NAME`, `NAME@alias` or `NAME:version`.

    A name alone is its champion, or else its latest version.

    Raises:
        ConfigurationError: The name is not allowed.
        StateError: The registry cannot be read.
    """
    name, _, alias = what.partition("@")
    name, _, version = name.partition(":")
    if alias or version:
        return store.find(name, alias) if alias else store.find(name, version=version)
    known = store.versions(name)
    champions = [one for one in known if store.CHAMPION in one.aliases]
    return (champions or known or [None])[-1]  # type: ignore[list-item]  # None where there is no version


def _digits(text: str) -> str:
    """The hexadecimal digits of what may be a digest; none where it cannot be one."""
    digits = _hex(text)
    if any(digit not in "0123456789abcdef" for digit in digits):
        return ""
    if len(digits) < _FEWEST_DIGITS:
        if text.startswith("sha256:"):
            raise ConfigurationError(f"{text}: give at least {_FEWEST_DIGITS} digits of a digest")
        return ""
    return digits


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")

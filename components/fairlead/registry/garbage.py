"""Garbage collection: removes old versions and their packages, and never what anybody serves or points at."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fairlead.errors import ConfigurationError
from fairlead.registry import deployments
from fairlead.registry.choose import open_registry
from fairlead.registry.records import PackageStore, Registered, Registry
from fairlead.settings import settings

Served = Callable[[], Mapping[str, str]]
"""What a platform runs: by digest, as what. It raises where it cannot tell, and nothing is removed."""

SETTLED_SECONDS = 24 * 3600.0
"""How old a package without a version must be: a registration keeps the package first."""


@dataclass(frozen=True)
class Garbage:
    """Something that was, or would be, removed.

    Attributes:
        name: The model's name.
        version: The version; empty for a package that no version points at.
        digest: The package's identity.
        size: What its removal frees, in bytes.
    """

    name: str
    version: str
    digest: str
    size: int


def collect_garbage(
    keep_last: int, *, dry_run: bool = True, name: str = "", served: Served = deployments.served_here
) -> list[Garbage]:
    """Removes versions that nobody needs, and packages that registrations which were killed have left.

    A version stays if it is one of the last, an alias points at it, a record says that it is deployed anywhere, or the
    platform runs it or would go back to it. Its package stays as long as any version has it.

    Args:
        keep_last: How many of each model's latest versions stay.
        dry_run: Tell what would be removed, and remove nothing.
        name: The one model to look at; all where it is empty.
        served: What the platform runs.

    Returns:
        What was removed, or would be.

    Raises:
        ConfigurationError: `keep_last` is negative.
        StateError: The registry or the platform's state cannot be read; nothing is removed.
    """
    if keep_last < 0:
        raise ConfigurationError(f"keep_last is {keep_last}; 0 or more is allowed")
    registry, packages = open_registry(settings())
    if dry_run:
        return _find(registry, packages, keep_last, name, served)[0]
    with registry.exclusive():
        found, old = _find(registry, packages, keep_last, name, served)
        for known in old:
            registry.remove(known)
        for garbage in found:
            if not any(known.digest == garbage.digest for known in registry.versions(garbage.name)):
                packages.remove(garbage.name, garbage.digest)
    return found


def _find(
    registry: Registry, packages: PackageStore, keep_last: int, name: str, served: Served
) -> tuple[list[Garbage], list[Registered]]:
    kept = {(one.name, one.digest): one for one in packages.kept()}
    runs = served()
    known = {model: registry.versions(model) for model in (registry.names() if not name else [name])}
    old = [
        one
        for model, versions in known.items()
        for one in _unneeded(versions, keep_last, {*runs, *registry.notes(model, "deployments")})
    ]
    sizes = {key: one.size for key, one in kept.items()}
    found = [Garbage(one.name, one.version, one.digest, sizes.get((one.name, one.digest), 0)) for one in old]
    pointed_at = {(one.name, one.digest) for versions in known.values() for one in versions}
    lost = [
        Garbage(one.name, "", one.digest, one.size)
        for key, one in kept.items()
        if key not in pointed_at and one.age_seconds > SETTLED_SECONDS and one.digest not in runs
        if name in {"", one.name}
    ]
    return found + lost, old


def _unneeded(versions: list[Registered], keep_last: int, served: Iterable[str]) -> list[Registered]:
    last = {one.version for one in versions[-keep_last:]} if keep_last else set()
    needed = {one.digest for one in versions if one.aliases or one.version in last} | set(served)
    return [one for one in versions if one.digest not in needed]

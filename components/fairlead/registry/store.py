"""The registry: what pipelines and commands do with it, whichever keeps the facts (see fairlead.registry.choose).

A registration keeps the package first, the version after it, verdicts and documents with that, and the alias last. So
whatever a version points at is whole; one that was killed has no alias yet, and the next run of it goes on.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fairlead.errors import ConfigurationError, PackageError, StateError, VerdictError
from fairlead.registry.choose import open_registry
from fairlead.registry.lineage_facts import read_facts
from fairlead.registry.records import ARCHIVED, CHALLENGER, CHAMPION, Registered, Registry
from fairlead.settings import settings
from fairlead.verdicts import Demand, Verdict, require
from fairlead_serving.package import ModelPackage, PackageInvalidError

__all__ = [
    "ARCHIVED",
    "CHALLENGER",
    "CHAMPION",
    "check_name",
    "copy_package",
    "documents",
    "find",
    "keep_verdict",
    "names",
    "register",
    "remove_alias",
    "set_alias",
    "verdicts",
    "versions",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ALIAS = re.compile(r"(?!v?\d+$|latest$)[A-Za-z_][A-Za-z0-9_-]{0,99}")  # `latest` and `v1` are MLflow's own


def register(
    package: Path | str,
    name: str,
    verdicts: Iterable[Verdict] = (),
    demand: Demand | Sequence[str] = (),
    alias: str = CHALLENGER,
    *,
    documents: Mapping[str, str] | None = None,
    run: str = "",
) -> Registered:
    """Registers a package that has every verdict that is demanded; the same package again is the same version.

    Args:
        package: The package's folder.
        name: The model's name in the registry.
        verdicts: The verdicts at hand; those bound to this package are kept with it.
        demand: What is demanded of them; judges alone mean that signatures and age do not matter.
        alias: What is to point at it; the champion does not become its own challenger.
        documents: Texts to keep with it, by name: `model_card`, `datasheet` (Markdown).
        run: The pipeline run that registers it.

    Returns:
        The version.

    Raises:
        VerdictError: A demanded verdict is missing, not `approved`, or for another package; nothing is registered.
        PackageError: The package cannot be read, or changed while it was copied.
        ConfigurationError: The name or alias is not allowed, or a document is too long for the registry.
        StateError: The registry is locked, corrupt, of another version, or out of reach.
    """
    check_name(name)
    _check_alias(alias)
    given = list(verdicts)
    digest = _digest_of(package)
    require(given, demand, digest)
    registry, packages = open_registry(settings())
    with registry.exclusive():
        uri = packages.keep(Path(package), name, digest)
        version = registry.add(name, digest, uri, read_facts(package, run))
        known = _version(registry, name, version)
        for verdict in given:
            if verdict.model_digest == digest:
                registry.write_note(known, "verdicts", verdict.judge, verdict.to_text())
        for title, text in (documents or {}).items():
            registry.write_note(known, "documents", title, text)
        if not (alias == CHALLENGER and CHAMPION in known.aliases):
            _point(registry, known, alias)
        found = _version(registry, name, version)
        return replace(found, uri=uri) if Path(uri).is_dir() else found  # another machine may have registered it first


def find(name: str, alias: str = "", *, version: str = "", digest: str = "") -> Registered | None:
    """Finds a version by exactly one of alias, version and digest.

    Args:
        name: The model's name.
        alias: Such as `champion`.
        version: Such as `3`.
        digest: Such as `sha256:…`.

    Returns:
        The version, or None where there is none.

    Raises:
        ConfigurationError: None, or more than one, was given.
        StateError: The registry is corrupt, of another version, or out of reach.
    """
    if sum(map(bool, (alias, version, digest))) != 1:
        raise ConfigurationError("give exactly one of alias, version and digest to find a registered model")
    for known in versions(name):
        if alias in known.aliases or known.version == str(version) or known.digest == digest:
            return known
    return None


def names() -> list[str]:
    """The names of all registered models, sorted.

    Raises:
        StateError: The registry is corrupt, of another version, or out of reach.
    """
    return open_registry(settings())[0].names()


def versions(name: str) -> list[Registered]:
    """Lists a model's versions, the first registered first.

    Raises:
        ConfigurationError: The name is not allowed.
        StateError: The registry is corrupt, of another version, or out of reach.
    """
    check_name(name)
    return open_registry(settings())[0].versions(name)


def set_alias(name: str, version: str, alias: str) -> None:
    """Points an alias at a version; what it pointed at before is no longer found by it.

    A new champion is no challenger any more, and the champion before it becomes `archived`: an alias points at one
    version, so that is the one to go back to.

    Raises:
        ConfigurationError: There is no such version, or the alias is not allowed.
        StateError: The registry is locked, corrupt, of another version, or out of reach.
    """
    check_name(name)
    _check_alias(alias)
    registry, _ = open_registry(settings())
    known = {known.version: known for known in registry.versions(name)}
    if version not in known:
        has = ", ".join(known) or "none"
        raise ConfigurationError(f"{name} has no version {version!r} in the registry; it has: {has}")
    with registry.exclusive():
        _point(registry, known[version], alias)


def remove_alias(name: str, alias: str) -> None:
    """Takes an alias away; does nothing where it points at no version.

    Raises:
        StateError: The registry is locked, corrupt, of another version, or out of reach.
    """
    if find(name, alias) is not None:
        registry, _ = open_registry(settings())
        with registry.exclusive():
            registry.unpoint(name, alias)


def verdicts(name: str, digest: str) -> list[Verdict]:
    """The verdicts kept with a registered package, by judge.

    Raises:
        VerdictError: A kept verdict cannot be read.
        StateError: The registry is corrupt, of another version, or out of reach.
    """
    check_name(name)
    kept = open_registry(settings())[0].notes(name, "verdicts", digest).get(digest, {})
    return [Verdict.from_text(kept[judge], f"the verdict of {judge} on {name} {digest[:19]}") for judge in sorted(kept)]


def documents(name: str, digest: str) -> dict[str, str]:
    """The documents kept with a registered package, by name: `model_card`, `datasheet` (Markdown).

    Raises:
        StateError: The registry is corrupt, of another version, or out of reach.
    """
    check_name(name)
    return open_registry(settings())[0].notes(name, "documents", digest).get(digest, {})


def keep_verdict(name: str, verdict: Verdict) -> None:
    """Keeps a later verdict, such as a canary's, with the registered package that it is bound to.

    Raises:
        VerdictError: No package with that digest is registered under the name.
        StateError: The registry is locked, corrupt, of another version, or out of reach.
    """
    known = find(name, digest=verdict.model_digest)
    if known is None:
        raise VerdictError(
            f"{name} has no registered package {verdict.model_digest}; register it before keeping verdicts"
        )
    registry, _ = open_registry(settings())
    with registry.exclusive():
        registry.write_note(known, "verdicts", verdict.judge, verdict.to_text())


def copy_package(known: Registered, folder: Path) -> None:
    """Copies a registered package from this machine, or from the server where this machine does not have it.

    Args:
        known: The version.
        folder: An existing folder to fill.

    Raises:
        OSError: The package is gone, or cannot be read.
        StateError: The server is out of reach, or has no such package.
    """
    open_registry(settings())[1].copy(known, folder)


def check_name(name: str) -> None:
    """Refuses a name that could not be a folder's.

    Raises:
        ConfigurationError: It is not allowed.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"model name {name!r}: letters, digits, dots, dashes and underscores are allowed")


def _check_alias(alias: str) -> None:
    if not _ALIAS.fullmatch(alias):
        raise ConfigurationError(
            f"alias {alias!r}: begin with a letter, go on with letters, digits, dashes and underscores; `latest` and "
            "`v1` are MLflow's own"
        )


def _digest_of(package: Path | str) -> str:
    try:
        return ModelPackage.open(package).digest
    except PackageInvalidError as error:
        raise PackageError(f"the model cannot be registered: {error}") from None


def _version(registry: Registry, name: str, version: str) -> Registered:
    for known in registry.versions(name):
        if known.version == version:
            return known
    raise StateError(f"{name} version {version} went away while it was registered; register it again")


def _point(registry: Registry, known: Registered, alias: str) -> None:
    """Points an alias; for a champion in an order in which a process may be killed anywhere, and run again."""
    if alias != CHAMPION:
        registry.point(known.name, alias, known.version)
        return
    has = {held: other.version for other in registry.versions(known.name) for held in other.aliases}
    before = has.get(CHAMPION)
    if before not in {None, known.version}:
        registry.point(known.name, ARCHIVED, str(before))
    registry.point(known.name, CHAMPION, known.version)
    if has.get(CHALLENGER) == known.version:
        registry.unpoint(known.name, CHALLENGER)
    if before in {None, known.version} and has.get(ARCHIVED) == known.version:
        registry.unpoint(known.name, ARCHIVED)

"""The work of fetch_model: a copy of a registered package, proven to be the one that was registered."""

from dataclasses import dataclass
from pathlib import Path

from fairlead import atomic
from fairlead.errors import PackageError
from fairlead.registry import store
from fairlead.registry.records import Registered
from fairlead_serving.package import PackageInvalidError, package_digest


@dataclass(frozen=True)
class FetchedModel:
    """What was found.

    Attributes:
        found: Whether there is such a model.
        version: Its version; empty if none.
        digest: Its identity; empty if none.
    """

    found: bool
    version: str = ""
    digest: str = ""


def fetch_model(package: Path | str, name: str, alias: str = store.CHAMPION, digest: str = "") -> FetchedModel:
    """Copies a registered package.

    Args:
        package: The folder to make; it stays empty where there is no such model.
        name: The model's name in the registry.
        alias: What points at the version, such as `champion`; or a version, such as `3`; or `sha256:…`, a digest.
        digest: The digest of the version; where it is given, the alias does not matter.

    Returns:
        What was found.

    Raises:
        PackageError: The registered package is gone, or is not what was registered.
        ConfigurationError: The name is not allowed.
        StateError: The registry is corrupt, of another version, or out of reach.
    """
    known = _find(name, digest or alias)
    with atomic.directory(package) as folder:
        if known is not None:
            _copy(known, folder)
    return FetchedModel(True, known.version, known.digest) if known else FetchedModel(False)


def _find(name: str, which: str) -> Registered | None:
    if which.startswith("sha256:"):
        return store.find(name, digest=which)
    return store.find(name, version=which) if which.isdigit() else store.find(name, which)


def _copy(known: Registered, folder: Path) -> None:
    try:
        store.copy_package(known, folder)
        copied = package_digest(folder)
    except (OSError, PackageInvalidError) as error:
        raise PackageError(
            f"{known.name} version {known.version} is registered, but its package cannot be read: {error}; register "
            "the same package again to restore it"
        ) from None
    if copied != known.digest:
        raise PackageError(
            f"{known.name} version {known.version} at {known.uri} is not what was registered ({copied} instead of "
            f"{known.digest}): it was changed; register the right package again to restore it"
        )

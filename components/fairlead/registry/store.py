"""The registry of this machine: packages and verdicts as files, names and aliases in MLflow's SQLite file.

Under `registry_home`: `packages/<name>/<digest>/`, `verdicts/<name>/<digest>/<judge>.json`, and the SQLite file. A
registration keeps files first and the row last, so that whatever a row points at is whole.
"""

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from fairlead import atomic
from fairlead.errors import ConfigurationError, PackageError, VerdictError
from fairlead.registry import database, records
from fairlead.registry.records import Registered
from fairlead.settings import Settings, settings
from fairlead.verdicts import Verdict, require
from fairlead_serving.package import ModelPackage, PackageInvalidError, package_digest

CHALLENGER, CHAMPION = "challenger", "champion"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ALIAS = re.compile(
    r"(?!v?\d+$|latest$)[A-Za-z_][A-Za-z0-9_-]{0,99}"
)  # MLflow reserves `latest`, `v1`; digits are versions


def register(
    package: Path | str,
    name: str,
    verdicts: Iterable[Verdict] = (),
    judges: Sequence[str] = (),
    alias: str = CHALLENGER,
) -> Registered:
    """Registers a package that has every verdict that is demanded; the same package again is the same version.

    Args:
        package: The package's folder.
        name: The model's name in the registry.
        verdicts: The verdicts at hand; those bound to this package are kept with it.
        judges: Whose approval is demanded.
        alias: What is to point at it.

    Returns:
        The version.

    Raises:
        VerdictError: A demanded verdict is missing, not `approved`, or for another package; nothing is registered.
        PackageError: The package cannot be read, or changed while it was copied.
        ConfigurationError: The name or alias is not allowed.
        StateError: The registry is locked, corrupt or of another version.
    """
    _check_name(name)
    _check_alias(alias)
    place, known = settings(), list(verdicts)
    digest = _digest_of(package)
    require(known, judges, digest)
    path = database.sqlite_path(place.registry_uri)
    with database.locked(place.registry_home):
        home = _keep_package(place, package, name, digest)
        for verdict in known:
            if verdict.model_digest == digest:
                _keep_verdict(place, name, verdict)
        with database.writing(path) as connection:
            version = records.version_of(connection, name, digest) or records.insert_version(
                connection, name, digest, home
            )
            records.set_tags(connection, name, version, _verdict_tags(place, name, digest))
            records.point(connection, name, alias, version)
        return _require_found(name, str(version))


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
        StateError: The registry is corrupt or of another version.
    """
    if sum(map(bool, (alias, version, digest))) != 1:
        raise ConfigurationError("give exactly one of alias, version and digest to find a registered model")
    matching = [
        known
        for known in versions(name)
        if alias in known.aliases or known.version == str(version) or known.digest == digest
    ]
    return matching[-1] if matching else None


def versions(name: str) -> list[Registered]:
    """Lists a model's versions, the first registered first.

    Raises:
        ConfigurationError: The name is not allowed.
        StateError: The registry is corrupt or of another version.
    """
    _check_name(name)
    with database.reading(database.sqlite_path(settings().registry_uri)) as connection:
        return records.read_versions(connection, name) if connection else []


def set_alias(name: str, version: str, alias: str) -> None:
    """Points an alias at a version; what it pointed at before is no longer found by it.

    Raises:
        ConfigurationError: There is no such version, or the alias is not allowed.
        StateError: The registry is locked, corrupt or of another version.
    """
    _check_alias(alias)
    _require_found(name, version)
    place = settings()
    with (
        database.locked(place.registry_home),
        database.writing(database.sqlite_path(place.registry_uri)) as connection,
    ):
        records.point(connection, name, alias, int(version))


def remove_alias(name: str, alias: str) -> None:
    """Takes an alias away; does nothing where it points at no version.

    Raises:
        StateError: The registry is locked, corrupt or of another version.
    """
    if find(name, alias) is None:
        return
    place = settings()
    with (
        database.locked(place.registry_home),
        database.writing(database.sqlite_path(place.registry_uri)) as connection,
    ):
        connection.execute("DELETE FROM registered_model_aliases WHERE name = ? AND alias = ?", (name, alias))


def verdicts(name: str, digest: str) -> list[Verdict]:
    """The verdicts kept with a registered package.

    Raises:
        VerdictError: A kept verdict cannot be read.
    """
    _check_name(name)
    return [Verdict.read(file) for file in sorted(_verdicts_home(settings(), name, digest).glob("*.json"))]


def keep_verdict(name: str, verdict: Verdict) -> None:
    """Keeps a later verdict, such as a canary's, with the registered package that it is bound to.

    Raises:
        VerdictError: No package with that digest is registered under the name.
        StateError: The registry is locked, corrupt or of another version.
    """
    known = find(name, digest=verdict.model_digest)
    if known is None:
        raise VerdictError(
            f"{name} has no registered package {verdict.model_digest}; register it before keeping verdicts"
        )
    place = settings()
    with database.locked(place.registry_home):
        _keep_verdict(place, name, verdict)
        with database.writing(database.sqlite_path(place.registry_uri)) as connection:
            records.set_tags(connection, name, int(known.version), _verdict_tags(place, name, known.digest))


def _check_name(name: str) -> None:
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


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _verdicts_home(place: Settings, name: str, digest: str) -> Path:
    return place.registry_home / "verdicts" / name / _hex(digest)


def _keep_package(place: Settings, package: Path | str, name: str, digest: str) -> Path:
    """Copies a package into the registry, whole or not at all; what is there already is kept if it is unharmed."""
    target = place.registry_home / "packages" / name / _hex(digest)
    if target.is_dir() and any(target.iterdir()) and package_digest(target) == digest:
        return target
    with atomic.directory(target) as folder:
        shutil.copytree(package, folder, dirs_exist_ok=True)
        copied = package_digest(folder)
        if copied != digest:
            raise PackageError(
                f"package {package} changed while it was copied ({copied}, was {digest}); register it again"
            )
    return target


def _keep_verdict(place: Settings, name: str, verdict: Verdict) -> None:
    verdict.write(_verdicts_home(place, name, verdict.model_digest) / f"{verdict.judge}.json")


def _verdict_tags(place: Settings, name: str, digest: str) -> dict[str, str]:
    kept = [Verdict.read(file) for file in _verdicts_home(place, name, digest).glob("*.json")]
    return {f"{records.VERDICT_TAG}{verdict.judge}": verdict.outcome for verdict in kept}


def _require_found(name: str, version: str) -> Registered:
    found = find(name, version=version)
    if found is None:
        known = ", ".join(known.version for known in versions(name)) or "none"
        raise ConfigurationError(f"{name} has no version {version!r} in the registry; it has: {known}")
    return found

"""The registry: versions and aliases in MLflow, packages and verdicts as files beside it.

MLflow is whatever `registry_uri` names: an SQLite file under `home`, or a server. Under `registry_home` lie
`packages/<name>/<digest>/` and `verdicts/<name>/<digest>/<judge>.json`. A registration keeps files first and the
version last, so that whatever a version points at is whole.
"""

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead import atomic
from fairlead.errors import ConfigurationError, PackageError, VerdictError
from fairlead.registry import records
from fairlead.registry.client import is_server, is_unused, reading, writing
from fairlead.registry.records import Registered
from fairlead.settings import Settings, settings
from fairlead.verdicts import Verdict, require
from fairlead_serving.package import ModelPackage, PackageInvalidError, package_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHALLENGER, CHAMPION = "challenger", "champion"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ALIAS = re.compile(r"(?!v?\d+$|latest$)[A-Za-z_][A-Za-z0-9_-]{0,99}")  # `latest` and `v1` are MLflow's own


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
        StateError: The registry is locked, corrupt, of another version, or out of reach.
    """
    _check_name(name)
    _check_alias(alias)
    place, known = settings(), list(verdicts)
    digest = _digest_of(package)
    require(known, judges, digest)
    with writing(place) as mlflow:
        home = _keep_package(place, package, name, digest)
        for verdict in known:
            if verdict.model_digest == digest:
                _keep_verdict(place, name, verdict)
        found = [have.version for have in _versions(mlflow, place, name) if have.digest == digest]
        version = found[-1] if found else records.add_version(mlflow, name, digest, home, upload=is_server(place))
        _tag_verdicts(mlflow, place, name, version, digest)
        mlflow.set_registered_model_alias(name, alias, version)
        return next(have for have in _versions(mlflow, place, name) if have.version == version)


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
        StateError: The registry is corrupt, of another version, or out of reach.
    """
    _check_name(name)
    place = settings()
    if is_unused(place):
        return []
    with reading(place.registry_uri) as mlflow:
        return _versions(mlflow, place, name)


def set_alias(name: str, version: str, alias: str) -> None:
    """Points an alias at a version; what it pointed at before is no longer found by it.

    Raises:
        ConfigurationError: There is no such version, or the alias is not allowed.
        StateError: The registry is locked, corrupt, of another version, or out of reach.
    """
    _check_alias(alias)
    known = [known.version for known in versions(name)]
    if version not in known:
        has = ", ".join(known) or "none"
        raise ConfigurationError(f"{name} has no version {version!r} in the registry; it has: {has}")
    with writing(settings()) as mlflow:
        mlflow.set_registered_model_alias(name, alias, version)


def remove_alias(name: str, alias: str) -> None:
    """Takes an alias away; does nothing where it points at no version.

    Raises:
        StateError: The registry is locked, corrupt, of another version, or out of reach.
    """
    if find(name, alias) is not None:
        with writing(settings()) as mlflow:
            mlflow.delete_registered_model_alias(name, alias)


def verdicts(name: str, digest: str) -> list[Verdict]:
    """The verdicts kept with a registered package.

    Raises:
        VerdictError: A kept verdict cannot be read.
    """
    _check_name(name)
    return _kept_verdicts(settings(), name, digest)


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
    place = settings()
    with writing(place) as mlflow:
        _keep_verdict(place, name, verdict)
        _tag_verdicts(mlflow, place, name, known.version, known.digest)


def copy_package(known: Registered, folder: Path) -> None:
    """Copies a registered package from this machine, or from the server where this machine does not have it.

    Args:
        known: The version.
        folder: An existing folder to fill.

    Raises:
        OSError: The package is gone, or cannot be read.
        StateError: The server is out of reach, or has no such package.
    """
    place = settings()
    if Path(known.uri).is_dir() or not is_server(place):
        shutil.copytree(known.uri, folder, dirs_exist_ok=True)
        return
    with reading(place.registry_uri) as mlflow:
        records.download(mlflow, known, folder)


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


def _kept_verdicts(place: Settings, name: str, digest: str) -> list[Verdict]:
    return [Verdict.read(file) for file in sorted(_verdicts_home(place, name, digest).glob("*.json"))]


def _tag_verdicts(mlflow: "MlflowClient", place: Settings, name: str, version: str, digest: str) -> None:
    for verdict in _kept_verdicts(place, name, digest):
        mlflow.set_model_version_tag(name, version, f"{records.VERDICT_TAG}{verdict.judge}", verdict.outcome)


def _versions(mlflow: "MlflowClient", place: Settings, name: str) -> list[Registered]:
    return records.read_versions(mlflow, name, place.registry_home / "packages")

"""Versions as MLflow keeps them: what fairlead knows of one is in its tags."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

VERDICT_TAG = "fairlead.verdict."
_DIGEST_TAG, _LINEAGE_TAG = "fairlead.digest", "fairlead.lineage."
_MOST_LINEAGE_TAGS, _MOST_TAG_CHARACTERS = 40, 500
_ARTIFACT = "package"


@dataclass(frozen=True)
class Registered:
    """A registered version of a model.

    Attributes:
        name: The model's name in the registry.
        version: Its version: `1`, `2`, …
        digest: The package's identity.
        uri: Where the registered package is; with a server, where this machine has it, or would.
        aliases: What points at this version: `challenger`, `champion`.
        verdicts: Outcome by judge, as registered.
        lineage: Facts about how it was made.
        created_at: When it was registered (ISO 8601, UTC).
    """

    name: str
    version: str
    digest: str
    uri: str
    aliases: tuple[str, ...] = ()
    verdicts: dict[str, str] = field(default_factory=dict)
    lineage: dict[str, str] = field(default_factory=dict)
    created_at: str = ""

    def reference(self) -> dict[str, str]:
        """What other components need to find it: the content of the artifact `registered`."""
        return {"name": self.name, "version": self.version, "digest": self.digest, "uri": self.uri}


def read_versions(mlflow: "MlflowClient", name: str, packages: Path) -> list[Registered]:
    """All versions of a model that fairlead registered, the first one first.

    Args:
        mlflow: The registry.
        name: The model's name.
        packages: The folder in which this machine keeps packages, by name and digest.

    Returns:
        The versions.
    """
    from mlflow.exceptions import MlflowException

    try:
        aliases = mlflow.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return []
    found = mlflow.search_model_versions(f"name = '{name}'")
    page = found
    while page.token:
        page = mlflow.search_model_versions(f"name = '{name}'", page_token=page.token)
        found += page
    ours = [version for version in found if _DIGEST_TAG in version.tags]  # others were registered past fairlead
    return [_registered(version, aliases, packages) for version in sorted(ours, key=lambda known: int(known.version))]


def add_version(mlflow: "MlflowClient", name: str, digest: str, home: Path, *, upload: bool) -> str:
    """Adds a version, and the model where it is the first.

    Args:
        mlflow: The registry.
        name: The model's name.
        digest: The package's identity.
        home: The package's folder.
        upload: Whether the registry is a server: it takes no path of our disk for a version's source.

    Returns:
        The version.
    """
    from mlflow.exceptions import MlflowException

    try:
        mlflow.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    run, source = _upload(mlflow, name, home) if upload else (None, str(home))
    tags = {_DIGEST_TAG: digest, **_lineage_tags(home)}
    return str(mlflow.create_model_version(name, source, run, tags=tags).version)


def download(mlflow: "MlflowClient", known: Registered, folder: Path) -> None:
    """Fills a folder with the package that a server has."""
    run = mlflow.get_model_version(known.name, known.version).run_id
    with tempfile.TemporaryDirectory() as temporary:
        shutil.copytree(mlflow.download_artifacts(str(run), _ARTIFACT, temporary), folder, dirs_exist_ok=True)


def _upload(mlflow: "MlflowClient", name: str, home: Path) -> tuple[str, str]:
    """Makes the package an artifact of a run."""
    run = mlflow.create_run("0", run_name=f"register {name}")  # every server has the experiment 0
    mlflow.log_artifacts(run.info.run_id, str(home), _ARTIFACT)
    mlflow.set_terminated(run.info.run_id)
    return run.info.run_id, f"{run.info.artifact_uri}/{_ARTIFACT}"


def _registered(version: "ModelVersion", aliases: dict[str, Any], packages: Path) -> Registered:
    tags = version.tags

    def below(prefix: str) -> dict[str, str]:
        return {key.removeprefix(prefix): value for key, value in sorted(tags.items()) if key.startswith(prefix)}

    here = packages / version.name / tags[_DIGEST_TAG].removeprefix("sha256:")
    return Registered(
        name=version.name,
        version=str(version.version),
        digest=tags[_DIGEST_TAG],
        uri=str(here) if version.run_id else str(version.source),
        aliases=tuple(sorted(alias for alias, at in aliases.items() if str(at) == str(version.version))),
        verdicts=below(VERDICT_TAG),
        lineage=below(_LINEAGE_TAG),
        created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
    )


def _lineage_tags(home: Path) -> dict[str, str]:
    try:
        lineage = json.loads((home / "fairlead" / "lineage.json").read_text())
    except (OSError, ValueError):
        return {}  # a package need not tell how it was made
    tags = {f"{_LINEAGE_TAG}{key}": str(value)[:_MOST_TAG_CHARACTERS] for key, value in _flat(lineage, "")}
    return dict(list(tags.items())[:_MOST_LINEAGE_TAGS])


def _flat(value: Any, key: str) -> Iterable[tuple[str, Any]]:
    """Single values below a JSON value, by dotted key; MLflow allows few characters in keys."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif key and isinstance(value, str | int | float):
        yield re.sub(r"[^A-Za-z0-9_./ -]", "_", key)[:200], value

"""The registry in MLflow: an SQLite file with notes as files beside it, or a server that has them as tags."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import ConfigurationError
from fairlead.registry import mlflow_client
from fairlead.registry.folder_notes import FolderNotes, check_key
from fairlead.registry.records import Exclusion, NoteKind, Notes, Registered

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

DIGEST_TAG = "fairlead.digest"
UPLOADED = "package"
"""The folder of a run's artifacts that holds the package."""

_LINEAGE_TAG, _VERDICT_TAG, _NOTE_TAG = "fairlead.lineage.", "fairlead.verdict.", "fairlead.note."
_MOST_LINEAGE_TAGS, _MOST_TAG_CHARACTERS, _MOST_NOTE_CHARACTERS = 60, 500, 100_000


class MlflowRegistry:
    """Versions and aliases in MLflow; see fairlead.registry.records.Registry.

    Args:
        uri: MLflow's address.
        home: The registry's folder on this machine: packages, notes and lock.
        token: What a server demands.
        everywhere: Keeps writers of other machines out.
    """

    def __init__(self, uri: str, home: Path, token: str = "", everywhere: Exclusion = nullcontext) -> None:
        self.uri, self.home, self._token, self._everywhere = uri, home, token, everywhere
        self._notes = FolderNotes(home) if mlflow_client.is_file(uri) else None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keeps other writers out, and makes the SQLite file where there is none."""
        with mlflow_client.writing(self.uri, self.home), self._everywhere():
            yield

    def open(self) -> "AbstractContextManager[MlflowClient]":
        """MLflow's client, its errors told in our words."""
        return mlflow_client.reading(self.uri, self._token)

    def names(self) -> list[str]:
        """The names of all models, sorted."""
        if mlflow_client.is_unused(self.uri):
            return []
        with self.open() as mlflow:
            return sorted(model.name for model in _pages(mlflow.search_registered_models))

    def versions(self, name: str) -> list[Registered]:
        """A model's versions, the first registered first; those that were registered past fairlead are left out."""
        if mlflow_client.is_unused(self.uri):
            return []
        with self.open() as mlflow:
            aliases = _aliases(mlflow, name)
            if aliases is None:
                return []
            return [self._registered(version, aliases) for version in _versions(mlflow, name)]

    def add(self, name: str, digest: str, uri: str, lineage: Mapping[str, str]) -> str:
        """Adds a version; of two that were added at once for one digest, the earlier stays."""
        with self.open() as mlflow:
            _make_model(mlflow, name)
            if not _with_digest(mlflow, name, digest):
                run, source = _source(mlflow, uri)
                tags = {DIGEST_TAG: digest, **_lineage_tags(lineage)}
                made = str(mlflow.create_model_version(name, source, run, tags=tags).version)
                if _with_digest(mlflow, name, digest)[0] != made:
                    mlflow.delete_model_version(name, made)
            return _with_digest(mlflow, name, digest)[0]

    def remove(self, known: Registered) -> None:
        """Takes a version out of all lists."""
        with self.open() as mlflow:
            for alias in known.aliases:
                mlflow.delete_registered_model_alias(known.name, alias)
            if known.version in {str(version.version) for version in _versions(mlflow, known.name)}:
                mlflow.delete_model_version(known.name, known.version)
            if self._notes and not _with_digest(mlflow, known.name, known.digest):
                self._notes.remove_all(known.name, known.digest)

    def point(self, name: str, alias: str, version: str) -> None:
        """Points an alias at a version."""
        with self.open() as mlflow:
            mlflow.set_registered_model_alias(name, alias, version)

    def unpoint(self, name: str, alias: str) -> None:
        """Takes an alias away, where there is one."""
        with self.open() as mlflow:
            if alias in (_aliases(mlflow, name) or {}):
                mlflow.delete_registered_model_alias(name, alias)

    def notes(self, name: str, kind: NoteKind, digest: str = "") -> Notes:
        """The notes of one kind."""
        if self._notes:
            return self._notes.read(name, kind, digest)
        with self.open() as mlflow:
            found = _versions(mlflow, name)
        prefix = f"{_NOTE_TAG}{kind}."
        read = {version.tags[DIGEST_TAG]: _below(version.tags, prefix) for version in found}
        return {owner: notes for owner, notes in read.items() if notes and digest in {"", owner}}

    def write_note(self, known: Registered, kind: NoteKind, key: str, text: str) -> None:
        """Keeps a text with a version, and a verdict's outcome where MLflow's pages show it."""
        check_key(key)
        tags = {f"{_VERDICT_TAG}{key}": str(json.loads(text)["outcome"])} if kind == "verdicts" else {}
        if self._notes:
            self._notes.write(known.name, known.digest, kind, key, text)
        else:
            tags[f"{_NOTE_TAG}{kind}.{key}"] = _fitting(key, text)
        if tags:
            with self.open() as mlflow:
                for tag, value in tags.items():
                    mlflow.set_model_version_tag(known.name, known.version, tag, value)

    def remove_note(self, known: Registered, kind: NoteKind, key: str) -> None:
        """Takes a text away, where there is one."""
        tags = [f"{_VERDICT_TAG}{key}"] if kind == "verdicts" else []
        if self._notes:
            self._notes.remove(known.name, known.digest, kind, check_key(key))
        else:
            tags.append(f"{_NOTE_TAG}{kind}.{check_key(key)}")
        if tags:
            with self.open() as mlflow:
                for version in _versions(mlflow, known.name):
                    if version.tags[DIGEST_TAG] == known.digest:
                        for tag in version.tags.keys() & set(tags):
                            mlflow.delete_model_version_tag(known.name, str(version.version), tag)

    def _registered(self, version: "ModelVersion", aliases: Mapping[str, str]) -> Registered:
        digest = version.tags[DIGEST_TAG]
        here = self.home / "packages" / version.name / digest.removeprefix("sha256:")
        return Registered(
            name=version.name,
            version=str(version.version),
            digest=digest,
            uri=str(here) if version.run_id else str(version.source),
            aliases=tuple(sorted(alias for alias, at in aliases.items() if at == str(version.version))),
            verdicts=_below(version.tags, _VERDICT_TAG),
            lineage=_below(version.tags, _LINEAGE_TAG),
            created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        )


def _pages(search: Callable[..., Any], *arguments: str) -> Iterator[Any]:
    page = search(*arguments)
    yield from page
    while page.token:
        page = search(*arguments, page_token=page.token)
        yield from page


def _versions(mlflow: "MlflowClient", name: str) -> "list[ModelVersion]":
    found = _pages(mlflow.search_model_versions, f"name = '{name}'")
    ours = [version for version in found if DIGEST_TAG in version.tags]
    return sorted(ours, key=lambda version: int(version.version))


def _with_digest(mlflow: "MlflowClient", name: str, digest: str) -> list[str]:
    return [str(version.version) for version in _versions(mlflow, name) if version.tags[DIGEST_TAG] == digest]


def _aliases(mlflow: "MlflowClient", name: str) -> dict[str, str] | None:
    """What points at which version; None where there is no such model."""
    from mlflow.exceptions import MlflowException

    try:
        return {alias: str(at) for alias, at in mlflow.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _make_model(mlflow: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        mlflow.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _source(mlflow: "MlflowClient", uri: str) -> tuple[str | None, str]:
    """The run and the source of a version; a server takes no path of our disk, but a run's artifacts."""
    if not uri.startswith("runs:/"):
        return None, uri
    run = uri.removeprefix("runs:/").partition("/")[0]
    return run, f"{mlflow.get_run(run).info.artifact_uri}/{UPLOADED}"


def _below(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in sorted(tags.items()) if key.startswith(prefix)}


def _lineage_tags(lineage: Mapping[str, str]) -> dict[str, str]:
    """Lineage as tags; MLflow allows few characters in keys."""
    tags = {
        f"{_LINEAGE_TAG}{re.sub(r'[^A-Za-z0-9_./ -]', '_', key)[:200]}": value[:_MOST_TAG_CHARACTERS]
        for key, value in lineage.items()
    }
    return dict(list(tags.items())[:_MOST_LINEAGE_TAGS])


def _fitting(key: str, text: str) -> str:
    if len(text) > _MOST_NOTE_CHARACTERS:
        raise ConfigurationError(
            f"{key} has {len(text):,} characters, an MLflow server takes {_MOST_NOTE_CHARACTERS:,}; shorten it"
        )
    return text

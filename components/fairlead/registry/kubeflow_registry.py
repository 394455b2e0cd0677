"""The registry in Kubeflow Model Registry.

Its API has no aliases, no transactions, no deletion, and a change replaces all custom properties at once, so whatever
two writers may change apart is an entity of its own with an external id, which the server keeps unique:

- a version: a ModelVersion, `fairlead/<name>/<digest>`, with lineage and address as custom properties;
- its package: a ModelArtifact, for KServe and others that read addresses there;
- a note: a DocArtifact of the version, `fairlead/<name>/<digest>/<kind>/<key>`;
- an alias: a DocArtifact of no version, `fairlead/<name>/alias/<alias>`.

What is removed is archived, or marked as deleted, and gives its external id back.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from fairlead.errors import StateError
from fairlead.registry import kubeflow_client
from fairlead.registry import kubeflow_entities as entities
from fairlead.registry.kubeflow_client import Address, Session
from fairlead.registry.lock import locked
from fairlead.registry.records import Exclusion, NoteKind, Notes, Registered

_ATTEMPTS = 50
_FORMAT = {"model_format_name": "onnx", "model_format_version": "1"}


class KubeflowRegistry:
    """Versions, aliases and notes in Kubeflow Model Registry; see fairlead.registry.records.Registry.

    Args:
        uri: Its address: `https://host:port`, with `?ca=…&author=…` where needed.
        home: The folder of this machine's lock.
        token: Gives what the server demands.
        everywhere: Keeps writers of other machines out.
    """

    def __init__(self, uri: str, home: Path, token: Callable[[], str], everywhere: Exclusion = nullcontext) -> None:
        self.address, self.home, self._token, self._everywhere = Address.parse(uri), home, token, everywhere
        self._held: Session | None = None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keeps other writers out: fewer attempts, no other result; one connection serves all."""
        with locked(self.home), self._everywhere(), self._open() as session:
            self._held = session
            try:
                yield
            finally:
                self._held = None

    def names(self) -> list[str]:
        """The names of all models, sorted."""
        with self._open() as api:
            return sorted(model.name for model in api.every("get_registered_models"))

    def versions(self, name: str) -> list[Registered]:
        """A model's versions, the first registered first; archived ones and those of other tools are left out."""
        with self._open() as api:
            model = api.find("registered_model", name=name)
            if model is None:
                return []
            found = [version for version in _versions(api, model.id) if _is_ours(version)]
            judged = f"{entities.notes_of(name, '%')}verdicts/"
            documents = list(entities.documents(api, entities.alias_id(name), judged))
        aliases, verdicts = _sort(name, documents)
        return [
            entities.registered(name, version, aliases, verdicts.get(entities.texts(version)[entities.DIGEST], {}))
            for version in found
        ]

    def add(self, name: str, digest: str, uri: str, lineage: Mapping[str, str]) -> str:
        """Adds a version: its number is the next one that no other writer was given."""
        from mr_openapi import ModelVersionState

        with self._open() as api:
            version = self._add_version(api, _make_model(api, name), name, digest, uri, lineage)
            if version.state != ModelVersionState.LIVE:  # archived by hand: registering it again brings it back
                _update_version(api, version, ModelVersionState.LIVE, version.external_id)
            _add_package(api, version.id, uri)
        return str(version.name)

    def remove(self, known: Registered) -> None:
        """Archives a version; its notes and aliases are marked as deleted."""
        from mr_openapi import ModelVersionState

        with self._open() as api:
            for alias in known.aliases:
                entities.delete(api, entities.alias_id(known.name, alias))
            for document in list(entities.documents(api, entities.notes_of(known.name, known.digest))):
                entities.retire(api, document)
            version = _find_version(api, known)
            if version is not None:
                _update_version(api, version, ModelVersionState.ARCHIVED, f"{version.external_id}/removed/{version.id}")

    def point(self, name: str, alias: str, version: str) -> None:
        """Points an alias at a version."""
        with self._open() as api:
            entities.write(api, entities.alias_id(name, alias), {entities.CONTENT: version})

    def unpoint(self, name: str, alias: str) -> None:
        """Takes an alias away, where there is one."""
        with self._open() as api:
            entities.delete(api, entities.alias_id(name, alias))

    def notes(self, name: str, kind: NoteKind, digest: str = "") -> Notes:
        """The notes of one kind."""
        with self._open() as api:
            found = list(entities.documents(api, f"{entities.notes_of(name, digest or '%')}{kind}/"))
        notes: Notes = {}
        for document in found:
            texts = entities.texts(document)
            notes.setdefault(texts[entities.DIGEST], {})[entities.last(document.external_id)] = texts[entities.CONTENT]
        return notes

    def write_note(self, known: Registered, kind: NoteKind, key: str, text: str) -> None:
        """Keeps a text with a version."""
        content = {entities.DIGEST: known.digest, entities.CONTENT: text}
        with self._open() as api:
            version = _find_version(api, known)
            if version is None:
                raise StateError(f"{known.name} version {known.version} went away; register it again")
            entities.write(api, entities.note_id(known.name, known.digest, kind, key), content, owner=version.id)

    def remove_note(self, known: Registered, kind: NoteKind, key: str) -> None:
        """Takes a text away, where there is one."""
        with self._open() as api:
            entities.delete(api, entities.note_id(known.name, known.digest, kind, key))

    @contextmanager
    def _open(self) -> Iterator[Session]:
        if self._held is not None:
            yield self._held
            return
        with kubeflow_client.connected(self.address, self._token) as session:
            yield session

    def _add_version(
        self, api: Session, model: str, name: str, digest: str, uri: str, lineage: Mapping[str, str]
    ) -> Any:
        from mr_openapi import ModelVersionCreate

        made = {f"{entities.LINEAGE}{key}": value for key, value in lineage.items()}
        facts, identity = {entities.DIGEST: digest, entities.URI: uri, **made}, entities.version_id(name, digest)
        for _ in range(_ATTEMPTS):
            version = api.find("model_version", external_id=identity)
            if version is not None:
                return version
            number = max((int(known.name) for known in _versions(api, model) if known.name.isdigit()), default=0) + 1
            wanted = ModelVersionCreate(
                name=str(number),
                external_id=identity,
                registered_model_id=model,
                author=self.address.author,
                custom_properties=entities.properties(facts),
            )
            version = api.create("create_model_version", wanted)
            if version is not None:
                return version  # else another writer took the number, or registered the same package
        raise StateError(f"{name}: {_ATTEMPTS} times another writer took the next version first; register it again")


def _make_model(api: Session, name: str) -> str:
    from mr_openapi import RegisteredModelCreate

    known = api.find("registered_model", name=name) or api.create(
        "create_registered_model", RegisteredModelCreate(name=name)
    )
    return str(known.id) if known else _make_model(api, name)  # another writer was faster


def _versions(api: Session, model: str) -> list[Any]:
    found = api.every("get_registered_model_versions", model)
    return sorted(found, key=lambda version: (int(version.name) if version.name.isdigit() else 0, int(version.id)))


def _find_version(api: Session, known: Registered) -> Any | None:
    return api.find("model_version", external_id=entities.version_id(known.name, known.digest))


def _is_ours(version: Any) -> bool:
    from mr_openapi import ModelVersionState

    return version.state == ModelVersionState.LIVE and entities.DIGEST in (version.custom_properties or {})


def _update_version(api: Session, version: Any, state: Any, external_id: str) -> None:
    """Changes state and external id; the client's model would otherwise set an archived version LIVE again."""
    from mr_openapi import ModelVersionUpdate

    api.call("update_model_version", version.id, ModelVersionUpdate(state=state, external_id=external_id))


def _add_package(api: Session, version: str, uri: str) -> None:
    from mr_openapi import Artifact, ArtifactState, ModelArtifact

    artifact = ModelArtifact(name="package", uri=uri, state=ArtifactState.LIVE, **_FORMAT)
    api.create("upsert_model_version_artifact", version, Artifact(artifact))


def _sort(name: str, documents: list[Any]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Aliases with their versions, and by digest the outcomes of verdicts by judge."""
    aliases: dict[str, str] = {}
    verdicts: dict[str, dict[str, str]] = {}
    for document in documents:
        texts, key = entities.texts(document), entities.last(document.external_id)
        if document.external_id.startswith(entities.alias_id(name)):
            aliases[key] = texts[entities.CONTENT]
        else:
            outcome = str(json.loads(texts[entities.CONTENT])["outcome"])
            verdicts.setdefault(texts[entities.DIGEST], {})[key] = outcome
    return aliases, {digest: dict(sorted(found.items())) for digest, found in verdicts.items()}

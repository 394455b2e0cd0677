"""What the registry keeps in Kubeflow Model Registry's entities: external ids, custom properties, documents."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from fairlead.errors import ConfigurationError
from fairlead.registry.folder_notes import check_key
from fairlead.registry.kubeflow_client import Session
from fairlead.registry.records import NoteKind, Registered

DIGEST, URI, LINEAGE, CONTENT = "fairlead.digest", "fairlead.uri", "fairlead.lineage.", "fairlead.content"

_ROOT = "fairlead"
_DIGITS = 32  # of a digest in a note's external id, which must fit into 255 characters
_LONGEST_ID = 230  # the server takes 255; what is removed gets `/removed/<id>` behind it


def version_id(name: str, digest: str) -> str:
    """The external id of a version."""
    return f"{_ROOT}/{name}/{digest.removeprefix('sha256:')}"


def alias_id(name: str, alias: str = "") -> str:
    """The external id of an alias; without one, how those of all of a model's begin."""
    return f"{_ROOT}/{name}/alias/{alias}"


def note_id(name: str, digest: str, kind: NoteKind, key: str) -> str:
    """The external id of a note.

    Raises:
        ConfigurationError: Its key has characters that are not allowed, or too many.
    """
    found = f"{notes_of(name, digest)}{kind}/{check_key(key)}"
    if len(found) > _LONGEST_ID:
        raise ConfigurationError(f"{name} and {key} are too long together for a note; shorten one of them")
    return found


def notes_of(name: str, digest: str) -> str:
    """How the external ids of all notes of a package begin; with `%` for the digest, of all packages."""
    return f"{_ROOT}/{name}/{digest.removeprefix('sha256:')[:_DIGITS]}/"


def last(external_id: str) -> str:
    """The last part of an external id: an alias, or a note's key."""
    return external_id.rpartition("/")[2]


def properties(values: Mapping[str, str]) -> dict[str, Any]:
    """Texts as custom properties; the API's integers have 32 bits, so numbers are texts too."""
    from mr_openapi import MetadataStringValue, MetadataValue

    return {
        key: MetadataValue(MetadataStringValue(string_value=value, metadataType="MetadataStringValue"))
        for key, value in values.items()
    }


def texts(entity: Any) -> dict[str, str]:
    """The custom properties of an entity that are texts."""
    found = {key: value.actual_instance for key, value in (entity.custom_properties or {}).items()}
    return {key: value.string_value for key, value in found.items() if hasattr(value, "string_value")}


def registered(name: str, version: Any, aliases: Mapping[str, str], verdicts: Mapping[str, str]) -> Registered:
    """A version as the registry tells it.

    Args:
        name: The model's name.
        version: A ModelVersion.
        aliases: What points at which version.
        verdicts: Outcome by judge.
    """
    facts = texts(version)
    made = datetime.fromtimestamp(int(version.create_time_since_epoch) / 1000, UTC)
    return Registered(
        name=name,
        version=version.name,
        digest=facts[DIGEST],
        uri=facts[URI],
        aliases=tuple(sorted(alias for alias, at in aliases.items() if at == version.name)),
        verdicts=dict(verdicts),
        lineage={key.removeprefix(LINEAGE): value for key, value in sorted(facts.items()) if key.startswith(LINEAGE)},
        created_at=made.isoformat(timespec="seconds"),
    )


def documents(api: Session, *patterns: str) -> Iterator[Any]:
    """The documents that are not deleted and whose external ids begin as one of some patterns do (`%`: any digest).

    The server filters; one that is too old to do so gives all, so they are looked at here once more.
    """
    from mr_openapi import ArtifactState, ArtifactTypeQueryParam

    wanted = " OR ".join(f'externalId LIKE "{pattern}%"' for pattern in patterns)
    kind = ArtifactTypeQueryParam.DOC_MINUS_ARTIFACT
    for found in api.every("get_artifacts", filter_query=wanted, artifact_type=kind):
        identity = found.external_id or ""
        if found.state != ArtifactState.DELETED and any(_fits(identity, pattern) for pattern in patterns):
            yield found


def write(api: Session, identity: str, content: Mapping[str, str], owner: str = "") -> None:
    """Writes a document, whichever other writer made it first.

    Args:
        api: The connection.
        identity: Its external id.
        content: Its custom properties.
        owner: The id of the ModelVersion that it belongs to; none for an alias.
    """
    from mr_openapi import Artifact, ArtifactCreate, ArtifactState, DocArtifact, DocArtifactCreate

    found = api.find("artifact", external_id=identity)
    if found is None:
        facts: dict[str, Any] = {
            "name": "/".join(identity.split("/")[-2:]),
            "external_id": identity,
            "custom_properties": properties(content),
            "state": ArtifactState.LIVE,
        }
        if owner:
            made = api.create("upsert_model_version_artifact", owner, Artifact(DocArtifact(**facts)))
        else:
            made = api.create("create_artifact", ArtifactCreate(DocArtifactCreate(**facts)))
        if made is not None:
            return
        found = api.find("artifact", external_id=identity)
    if found is not None:
        _update(api, found.id, content, ArtifactState.LIVE, identity)


def delete(api: Session, identity: str) -> None:
    """Marks a document as deleted, where there is one; it can be written again."""
    from mr_openapi import ArtifactState

    found = api.find("artifact", external_id=identity)
    if found is not None:
        _update(api, found.id, {}, ArtifactState.DELETED, identity)


def retire(api: Session, document: Any) -> None:
    """Marks a document as deleted for good: its external id is free again."""
    from mr_openapi import ArtifactState

    _update(api, document.id, texts(document), ArtifactState.DELETED, f"{document.external_id}/removed/{document.id}")


def _update(api: Session, identity: str, content: Mapping[str, str], state: Any, external_id: str) -> None:
    from mr_openapi import ArtifactUpdate, DocArtifactUpdate

    change = DocArtifactUpdate(custom_properties=properties(content), state=state, external_id=external_id)
    api.call("update_artifact", identity, ArtifactUpdate(change))


def _fits(identity: str, pattern: str) -> bool:
    """Whether an external id begins as a pattern does; in LIKE, an underscore of a name would be any character."""
    parts, wanted = identity.split("/"), pattern.rstrip("/").split("/")
    return len(parts) > len(wanted) and all(want in {"%", part} for want, part in zip(wanted, parts, strict=False))

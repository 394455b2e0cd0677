"""What the stand-in for the Kubeflow Model Registry server knows; see model_registry_server."""

import base64
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import mr_openapi
from pydantic import ValidationError

Entity = dict[str, Any]

_ARTIFACTS = {"doc-artifact": "DocArtifact", "model-artifact": "ModelArtifact", "dataset-artifact": "DataSet"}
_TERM = re.compile(r"""externalId LIKE (["'])(?P<pattern>[^"']*)\1""")


class RefusedError(Exception):
    """An answer that is an error.

    Args:
        status: Of HTTP.
        message: What is wrong.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def checked(model: str, content: Any) -> Entity:
    """Content that is what a model of the client's OpenAPI describes, and nothing more."""
    kind = getattr(mr_openapi, model)
    known = {field.alias or name for name, field in kind.model_fields.items()}
    if not isinstance(content, dict) or not set(content) <= known:
        raise RefusedError(400, f"{model} has no members {sorted(set(content) - known)}")
    try:
        kind.from_dict(content)
    except (ValidationError, ValueError) as error:
        raise RefusedError(400, f"no {model}: {error}") from None
    return content


class Table:
    """Entities of the kinds that share ids and external ids."""

    def __init__(self) -> None:
        self.rows: dict[str, Entity] = {}
        self.parents: dict[str, str] = {}
        self._given = 0

    def insert(self, content: Entity, parent: str, kind: str) -> Entity:
        self._given += 1
        now = str(int(time.time() * 1000))
        row = {**content, "id": str(self._given), "createTimeSinceEpoch": now, "lastUpdateTimeSinceEpoch": now}
        row.setdefault("customProperties", {})
        name, external = row.get("name"), row.get("externalId")
        for known in self.rows.values():
            twin = known.get("name") == name and self.parents[known["id"]] == parent and known["_kind"] == kind
            if (twin and parent != "none") or (external and known.get("externalId") == external):
                raise RefusedError(409, f"{kind} with name {name} already exists: conflict")
        self.rows[row["id"]] = {**row, "_kind": kind}
        self.parents[row["id"]] = parent
        return self.rows[row["id"]]

    def get(self, kind: str, identity: str) -> Entity:
        if not identity.isdigit():
            raise RefusedError(400, f'invalid {kind} ID: strconv.ParseInt: parsing "{identity}": invalid syntax')
        if identity not in self.rows or self.rows[identity]["_kind"] != kind:
            raise RefusedError(404, f"no {kind} found for id {identity}: not found")
        return self.rows[identity]

    def update(self, kind: str, identity: str, change: Entity) -> Entity:
        row = self.get(kind, identity)
        external = change.get("externalId")
        for known in self.rows.values():
            if external and known["id"] != identity and known.get("externalId") == external:
                raise RefusedError(409, f"{kind} already exists: conflict")
        row.update({key: value for key, value in change.items() if value is not None})
        row["lastUpdateTimeSinceEpoch"] = str(int(time.time() * 1000))
        return row


class Store:
    """What the server knows."""

    def __init__(self) -> None:
        self.contexts, self.artifacts = Table(), Table()
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    def create_model(self, content: Entity) -> Entity:
        row = self.contexts.insert(checked("RegisteredModelCreate", content), "", "registered model")
        row.setdefault("state", "LIVE")
        return row

    def create_version(self, content: Entity) -> Entity:
        model = checked("ModelVersionCreate", content)["registeredModelId"]
        row = self.contexts.insert(content, model, "model version")
        row.setdefault("state", "LIVE")
        return row

    def create_artifact(self, content: Entity, version: str = "none") -> Entity:
        model = _ARTIFACTS.get(str(content.get("artifactType")), "")
        if not model:
            raise RefusedError(400, "unknown artifactType")
        checked(f"{model}Create" if version == "none" else model, content)
        if version != "none":
            self.contexts.get("model version", version)
        return self.artifacts.insert(content, version, "artifact")

    def update(self, table: Table, kind: str, model: str, identity: str, change: Entity) -> Entity:
        if kind == "artifact":
            row = table.get(kind, identity)
            if row["artifactType"] != change.get("artifactType"):
                raise RefusedError(400, "mismatched types")
            model = f"{_ARTIFACTS[row['artifactType']]}Update"
        return table.update(kind, identity, checked(model, change))

    def find(self, table: Table, kind: str, query: dict[str, str]) -> Entity:
        name, external, parent = query.get("name"), query.get("externalId"), query.get("parentResourceId", "")
        if not external and (not name or (kind != "registered model" and not parent)):
            raise RefusedError(400, "supply either (name and parentResourceId), or externalId")
        for row in table.rows.values():
            by_name = row.get("name") == name and table.parents[row["id"]] == parent
            if row["_kind"] == kind and (row.get("externalId") == external if external else by_name):
                return row
        raise RefusedError(404, f"no {kind} found for name={name}, externalId={external}: not found")

    def page(self, table: Table, kind: str, query: dict[str, str], parent: str = "") -> Entity:
        size, token = int(query.get("pageSize", "0")), query.get("nextPageToken", "")
        after = int(base64.b64decode(token).decode().rstrip(":")) if token else 0
        wanted, artifact_type = _filter(query.get("filterQuery", "")), query.get("artifactType", "")
        rows = [
            row
            for row in table.rows.values()
            if row["_kind"] == kind and int(row["id"]) > after and wanted(row.get("externalId") or "")
            if not parent or table.parents[row["id"]] == parent
            if not artifact_type or row["artifactType"] == artifact_type
        ]
        shown = rows[:size] if size else rows
        more = base64.b64encode(f"{shown[-1]['id']}:".encode()).decode() if len(rows) > len(shown) else ""
        return {"items": shown, "nextPageToken": more, "pageSize": size, "size": len(shown)}


def _filter(text: str) -> Callable[[str], bool]:
    """The part of the filter language that is needed: external ids by patterns, joined by OR."""
    terms = [_TERM.fullmatch(term) for term in text.split(" OR ")] if text else []
    if not all(terms):
        raise RefusedError(400, f"invalid filter query syntax: {text}: bad request")
    patterns = [re.escape(term["pattern"]).replace("%", ".*").replace("_", ".") for term in terms if term]
    return lambda external: not patterns or any(re.fullmatch(pattern, external) for pattern in patterns)

"""Rows of the registry's SQLite file: versions, their tags, and aliases, in MLflow's tables."""

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

VERDICT_TAG = "fairlead.verdict."
_DIGEST_TAG, _LINEAGE_TAG = "fairlead.digest", "fairlead.lineage."
_MOST_LINEAGE_TAGS, _MOST_TAG_CHARACTERS = 40, 500
_DELETED = "Deleted_Internal"  # how MLflow marks a version that was deleted


@dataclass(frozen=True)
class Registered:
    """A registered version of a model.

    Attributes:
        name: The model's name in the registry.
        version: Its version: `1`, `2`, …
        digest: The package's identity.
        uri: Where the registered package is.
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


def version_of(connection: sqlite3.Connection, name: str, digest: str) -> int | None:
    """The version that has a digest, or None."""
    return next((int(known.version) for known in read_versions(connection, name) if known.digest == digest), None)


def insert_version(connection: sqlite3.Connection, name: str, digest: str, home: Path) -> int:
    """Adds a version, and the model where it is the first; the columns are those that MLflow's client sets."""
    now = time.time_ns() // 1_000_000
    connection.execute(
        "INSERT INTO registered_models (name, creation_time, last_updated_time, workspace) "
        "VALUES (?, ?, ?, 'default') ON CONFLICT (workspace, name) DO UPDATE SET last_updated_time = ?",
        (name, now, now, now),
    )
    newest = "SELECT coalesce(max(version), 0) + 1 FROM model_versions WHERE name = ? AND workspace = 'default'"
    (version,) = connection.execute(newest, (name,)).fetchone()
    connection.execute(
        "INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, status, "
        "storage_location, workspace) VALUES (?, ?, ?, ?, 'None', ?, 'READY', ?, 'default')",
        (name, version, now, now, str(home), str(home)),
    )
    set_tags(connection, name, version, {_DIGEST_TAG: digest, **_lineage_tags(home)})
    return int(version)


def set_tags(connection: sqlite3.Connection, name: str, version: int, tags: Mapping[str, str]) -> None:
    """Sets tags of a version; others of its tags stay."""
    connection.executemany(
        "INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES (?, ?, ?, ?, 'default') "
        "ON CONFLICT (workspace, key, name, version) DO UPDATE SET value = excluded.value",
        [(key, value, name, version) for key, value in tags.items()],
    )


def point(connection: sqlite3.Connection, name: str, alias: str, version: int) -> None:
    """Points an alias at a version."""
    connection.execute(
        "INSERT INTO registered_model_aliases (alias, version, name, workspace) VALUES (?, ?, ?, 'default') "
        "ON CONFLICT (workspace, name, alias) DO UPDATE SET version = excluded.version",
        (alias, version, name),
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


def read_versions(connection: sqlite3.Connection, name: str) -> list[Registered]:
    """All versions of a model that fairlead registered, the first one first."""
    tags: dict[int, dict[str, str]] = {}
    for version, key, value in connection.execute(
        "SELECT version, key, value FROM model_version_tags WHERE name = ? AND workspace = 'default'", (name,)
    ):
        tags.setdefault(version, {})[key] = value
    aliases: dict[int, list[str]] = {}
    for alias, version in connection.execute(
        "SELECT alias, version FROM registered_model_aliases WHERE name = ? AND workspace = 'default'", (name,)
    ):
        aliases.setdefault(version, []).append(alias)
    rows = connection.execute(
        "SELECT version, source, creation_time FROM model_versions "
        "WHERE name = ? AND workspace = 'default' AND current_stage <> ? ORDER BY version",
        (name, _DELETED),
    )
    return [
        _registered(name, version, source, created, tags[version], aliases.get(version, []))
        for version, source, created in rows
        if _DIGEST_TAG in tags.get(version, {})  # others were registered by hand, past fairlead
    ]


def _registered(
    name: str, version: int, source: str, created: int, tags: dict[str, str], aliases: list[str]
) -> Registered:
    def below(prefix: str) -> dict[str, str]:
        return {key.removeprefix(prefix): value for key, value in sorted(tags.items()) if key.startswith(prefix)}

    return Registered(
        name=name,
        version=str(version),
        digest=tags[_DIGEST_TAG],
        uri=source,
        aliases=tuple(sorted(aliases)),
        verdicts=below(VERDICT_TAG),
        lineage=below(_LINEAGE_TAG),
        created_at=datetime.fromtimestamp(created / 1000, UTC).isoformat(timespec="seconds"),
    )

"""The `features` artifact: a folder with one dataset a feature table, and features.json, which tells them apart."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fairlead import atomic
from fairlead.datasets import DatasetManifest, read_manifest
from fairlead.errors import SourceError

MANIFEST = "features.json"
EVENT_TIMESTAMP = "event_timestamp"
_FORMAT = 1


@dataclass(frozen=True)
class FeatureTables:
    """The feature tables in one folder.

    Attributes:
        path: The folder.
        as_of: The moment after which nothing was looked at; None: there was none.
        keys: The entity keys of each table, by table name.
        manifests: The dataset of each table, by table name.
    """

    path: Path
    as_of: datetime | None
    keys: dict[str, list[str]]
    manifests: dict[str, DatasetManifest]

    @property
    def digest(self) -> str:
        """One digest over all tables' digests."""
        lines = "".join(f"{name}\0{manifest.digest}\n" for name, manifest in sorted(self.manifests.items()))
        return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(manifest.row_count for manifest in self.manifests.values())


def write_manifest(folder: Path, as_of: datetime | None, keys: Mapping[str, list[str]]) -> None:
    """Writes features.json; the tables lie there already.

    Args:
        folder: The folder of the tables.
        as_of: The moment after which nothing was looked at.
        keys: The entity keys of each table.
    """
    content = {"format": _FORMAT, "as_of": as_of.isoformat() if as_of else "", "tables": dict(keys)}
    atomic.write_json(folder / MANIFEST, content)


def read_tables(folder: Path | str) -> FeatureTables:
    """Reads what a folder of feature tables holds.

    Args:
        folder: The `features` artifact of compute_features, or a feature store's published tables.

    Returns:
        The tables.

    Raises:
        SourceError: The folder is not a finished `features` artifact, or a table in it is not whole.
    """
    path = Path(folder)
    try:
        content = json.loads((path / MANIFEST).read_text())
        as_of = datetime.fromisoformat(content["as_of"]) if content["as_of"] else None
        keys = {str(name): list(columns) for name, columns in content["tables"].items()}
    except FileNotFoundError:
        raise SourceError(
            f"no finished feature tables at {path}: {MANIFEST} is missing; run compute_features"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise SourceError(f"{path / MANIFEST} cannot be read ({error!r}); run compute_features again") from None
    if content.get("format") != _FORMAT:
        raise SourceError(f"{path / MANIFEST} is of another format than {_FORMAT}; run compute_features again")
    return FeatureTables(path, as_of, keys, {name: read_manifest(path / name) for name in keys})

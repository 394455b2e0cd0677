"""What a registry knows of models, and the interfaces behind it: who keeps the facts, who keeps the packages."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

CHALLENGER, CHAMPION, ARCHIVED = "challenger", "champion", "archived"

NoteKind = Literal["verdicts", "documents", "deployments"]
"""What is kept with a version besides its package: verdicts, model card and datasheet, where it is served."""

Notes = dict[str, dict[str, str]]
"""Texts by the digest of the package that they belong to, then by key: a judge, a document's or a place's name."""


Exclusion = Callable[[], AbstractContextManager[None]]
"""Keeps other writers out while a block lasts."""


@dataclass(frozen=True)
class Registered:
    """A registered version of a model.

    Attributes:
        name: The model's name in the registry.
        version: Its version: `1`, `2`, …
        digest: The package's identity.
        uri: Where the registered package is; with a server, where this machine has it, or would.
        aliases: What points at this version: `challenger`, `champion`, `archived`.
        verdicts: Outcome by judge.
        lineage: Facts about how it was made, by dotted key: `train.digest`, `revision`, `run`.
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


@dataclass(frozen=True)
class KeptPackage:
    """A package that lies in a package store, registered or not.

    Attributes:
        name: The model's name.
        digest: What it was stored as; for what a copy that was killed has left, its folder's name.
        size: Its files, in bytes.
        age_seconds: Since it was stored.
    """

    name: str
    digest: str
    size: int
    age_seconds: float


class Registry(Protocol):
    """Who keeps the facts: MLflow or Kubeflow's Model Registry.

    Every verb may be repeated, and is whole or not done at all. All raise StateError where the registry is locked,
    corrupt, of another version, or out of reach.
    """

    def exclusive(self) -> AbstractContextManager[None]:
        """Keeps other writers of this machine out, and makes the registry where there is none.

        Writers of other machines are kept out where there is an object store; elsewhere they are not, and the verbs
        themselves lose nothing when they meet.
        """

    def names(self) -> list[str]:
        """The names of all models, sorted."""

    def versions(self, name: str) -> list[Registered]:
        """A model's versions, the first registered first; none where there is no such model."""

    def add(self, name: str, digest: str, uri: str, lineage: Mapping[str, str]) -> str:
        """Adds a version, and the model where it is the first; a digest that is there already is the same version.

        Args:
            name: The model's name.
            digest: The package's identity.
            uri: What the package store gave for it.
            lineage: Facts about how it was made, by dotted key.

        Returns:
            The version.
        """

    def remove(self, known: Registered) -> None:
        """Takes a version, its notes and what points at it out of all lists; its number is not given again."""

    def point(self, name: str, alias: str, version: str) -> None:
        """Points an alias at a version."""

    def unpoint(self, name: str, alias: str) -> None:
        """Takes an alias away, where there is one."""

    def notes(self, name: str, kind: NoteKind, digest: str = "") -> Notes:
        """The notes of one kind: of one package, or of all that have any."""

    def write_note(self, known: Registered, kind: NoteKind, key: str, text: str) -> None:
        """Keeps a text with a version; an older one of that key is replaced."""

    def remove_note(self, known: Registered, kind: NoteKind, key: str) -> None:
        """Takes a text away, where there is one; of what is known of the version, name and digest suffice."""


class PackageStore(Protocol):
    """Who keeps the packages: a folder of this machine, MLflow's server, S3, and whatever can do these four things."""

    def keep(self, package: Path, name: str, digest: str) -> str:
        """Keeps a package, whole or not at all; one that is there unharmed already is left alone.

        Returns:
            Its address, for Registry.add.

        Raises:
            PackageError: It changed while it was copied.
        """

    def copy(self, known: Registered, folder: Path) -> None:
        """Fills a folder with a registered package.

        Raises:
            OSError: It is gone, or cannot be read.
        """

    def remove(self, name: str, digest: str) -> None:
        """Removes a package, where there is one."""

    def kept(self) -> Iterator[KeptPackage]:
        """All packages that lie here, by name."""

"""A registry and a package store in memory: what the real ones do, held to the same contract tests, in microseconds."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.registry import choose, deployments, garbage, store
from fairlead.registry.records import KeptPackage, NoteKind, Notes, PackageStore, Registered, Registry
from fairlead.verdicts import Verdict


class MemoryRegistry:
    """See fairlead.registry.records.Registry."""

    def __init__(self) -> None:
        self.models: dict[str, list[Registered]] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self.texts: dict[tuple[str, NoteKind, str, str], str] = {}
        self.given: dict[str, int] = {}

    def exclusive(self) -> AbstractContextManager[None]:
        return nullcontext()

    def names(self) -> list[str]:
        return sorted(self.models)

    def versions(self, name: str) -> list[Registered]:
        found = []
        for known in self.models.get(name, []):
            aliases = sorted(a for (n, a), at in self.aliases.items() if n == name and at == known.version)
            kept = self.notes(name, "verdicts", known.digest).get(known.digest, {})
            verdicts = {judge: Verdict.from_text(text).outcome for judge, text in sorted(kept.items())}
            found.append(replace(known, aliases=tuple(aliases), verdicts=dict(verdicts)))
        return found

    def add(self, name: str, digest: str, uri: str, lineage: Mapping[str, str]) -> str:
        for known in self.models.setdefault(name, []):
            if known.digest == digest:
                return known.version
        self.given[name] = self.given.get(name, 0) + 1
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made = Registered(name, str(self.given[name]), digest, uri, lineage=dict(lineage), created_at=now)
        self.models[name].append(made)
        return made.version

    def remove(self, known: Registered) -> None:
        self.models[known.name] = [one for one in self.models[known.name] if one.version != known.version]
        self.aliases = {key: at for key, at in self.aliases.items() if (key[0], at) != (known.name, known.version)}
        self.texts = {key: text for key, text in self.texts.items() if (key[0], key[2]) != (known.name, known.digest)}

    def point(self, name: str, alias: str, version: str) -> None:
        self.aliases[name, alias] = version

    def unpoint(self, name: str, alias: str) -> None:
        self.aliases.pop((name, alias), None)

    def notes(self, name: str, kind: NoteKind, digest: str = "") -> Notes:
        found: Notes = {}
        for (owner, of, whose, key), text in self.texts.items():
            if (owner, of) == (name, kind) and digest in {"", whose}:
                found.setdefault(whose, {})[key] = text
        return found

    def write_note(self, known: Registered, kind: NoteKind, key: str, text: str) -> None:
        self.texts[known.name, kind, known.digest, key] = text

    def remove_note(self, known: Registered, kind: NoteKind, key: str) -> None:
        self.texts.pop((known.name, kind, known.digest, key), None)


class MemoryPackages:
    """See fairlead.registry.records.PackageStore; it keeps digests and no files.

    Attributes:
        ages: By name and digest, how old each kept package is, in seconds.
    """

    def __init__(self) -> None:
        self.ages: dict[tuple[str, str], float] = {}

    def keep(self, package: Path, name: str, digest: str) -> str:
        self.ages.setdefault((name, digest), 0.0)
        return f"memory:{name}/{digest}"

    def copy(self, known: Registered, folder: Path) -> None:
        if (known.name, known.digest) not in self.ages:
            raise FileNotFoundError(known.uri)

    def remove(self, name: str, digest: str) -> None:
        self.ages.pop((name, digest), None)

    def kept(self) -> Iterator[KeptPackage]:
        return iter([KeptPackage(name, digest, 7, age) for (name, digest), age in sorted(self.ages.items())])


def use(registry: Registry, packages: PackageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every operation of the registry work on these, whatever the settings say."""
    for module in (choose, store, deployments, garbage):
        monkeypatch.setattr(module, "open_registry", lambda _: (registry, packages))

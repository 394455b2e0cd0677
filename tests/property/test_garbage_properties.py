"""Garbage collection under whatever may happen: it never takes what is served, pointed at, or young."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from memory_registry import MemoryPackages, MemoryRegistry, use

from fairlead.errors import StateError
from fairlead.registry import store
from fairlead.registry.garbage import SETTLED_SECONDS, collect_garbage
from fairlead.registry.records import Registered

NAMES = ("flights", "churn")
DIGESTS = [f"sha256:{digit * 64}" for digit in "0123456789"]


class Registry(RuleBasedStateMachine):
    """Registrations, kills, promotions, deployments and collections in any order, beside what must still be there."""

    known = Bundle("known")

    def __init__(self) -> None:
        super().__init__()
        self.registry, self.packages = MemoryRegistry(), MemoryPackages()
        self.running: dict[str, str] = {}
        self.patch = pytest.MonkeyPatch()
        use(self.registry, self.packages, self.patch)

    def teardown(self) -> None:
        self.patch.undo()

    def served(self) -> Mapping[str, str]:
        return self.running

    @rule(target=known, name=st.sampled_from(NAMES), digest=st.sampled_from(DIGESTS))
    def register(self, name: str, digest: str) -> Registered:
        """A package is registered; again, perhaps, or after it was collected."""
        uri = self.packages.keep(Path(), name, digest)
        version = self.registry.add(name, digest, uri, {})
        known = Registered(name, version, digest, uri)
        store._point(self.registry, known, store.CHALLENGER)
        return known

    @rule(name=st.sampled_from(NAMES), digest=st.sampled_from(DIGESTS), old=st.booleans())
    def die_while_registering(self, name: str, digest: str, old: bool) -> None:
        """A registration keeps its package and is killed, just now or long ago."""
        if (name, digest) not in self.packages.ages:
            self.packages.keep(Path(), name, digest)
            self.packages.ages[name, digest] = SETTLED_SECONDS + 1 if old else 0.0

    @rule(one=known, alias=st.sampled_from(["champion", "archived", "trusted"]))
    def set_alias(self, one: Registered, alias: str) -> None:
        """Something points at a version."""
        if self._still(one):
            store.set_alias(one.name, one.version, alias)

    @rule(name=st.sampled_from(NAMES), alias=st.sampled_from(["champion", "challenger", "archived", "trusted"]))
    def remove_alias(self, name: str, alias: str) -> None:
        """Nothing does any more."""
        store.remove_alias(name, alias)

    @rule(one=known)
    def deploy_here(self, one: Registered) -> None:
        """This machine's platform runs a version, and nobody has recorded it yet."""
        if self._still(one):
            self.running[one.digest] = "runs"

    @rule(one=known)
    def deploy_elsewhere(self, one: Registered) -> None:
        """Another machine recorded that it runs a version."""
        if self._still(one):
            self.registry.write_note(one, "deployments", "elsewhere.late", "{}")

    @rule(one=known)
    def stop(self, one: Registered) -> None:
        """A version runs nowhere any more."""
        self.running.pop(one.digest, None)
        self.registry.remove_note(one, "deployments", "elsewhere.late")

    @rule(keep_last=st.integers(0, 3), name=st.sampled_from(["", *NAMES]), dry_run=st.booleans())
    def collect(self, keep_last: int, name: str, dry_run: bool) -> None:
        """What is collected is exactly what was announced, and nothing that is needed."""
        before = {model: self.registry.versions(model) for model in NAMES}
        needed = {
            (model, one.version): one
            for model, versions in before.items()
            for position, one in enumerate(reversed(versions))
            if position < keep_last
            or one.aliases
            or one.digest in self.running
            or one.digest in self.registry.notes(model, "deployments")
            or name not in {"", model}
        }
        packages = dict(self.packages.ages)
        announced = collect_garbage(keep_last, name=name, served=self.served)
        assert self.packages.ages == packages
        assert {model: self.registry.versions(model) for model in NAMES} == before
        if dry_run:
            return
        assert collect_garbage(keep_last, dry_run=False, name=name, served=self.served) == announced
        left = {(model, one.version): one for model in NAMES for one in self.registry.versions(model)}
        assert left == needed
        gone = set(packages) - set(self.packages.ages)
        assert gone == {(one.name, one.digest) for one in announced}
        assert not gone & {(one.name, one.digest) for one in needed.values()}
        for model, digest in gone:
            was_registered = any(one.digest == digest for one in before[model])
            assert was_registered or packages[model, digest] > SETTLED_SECONDS
            assert digest not in self.running
        assert collect_garbage(keep_last, name=name, served=self.served) == []

    @rule()
    def collect_without_knowing_what_is_served(self) -> None:
        """Where the platform cannot tell what it serves, nothing is removed."""

        def unknown() -> Mapping[str, str]:
            raise StateError("the platform's state is corrupt")

        before = dict(self.packages.ages), {name: self.registry.versions(name) for name in NAMES}
        with pytest.raises(StateError):
            collect_garbage(0, dry_run=False, served=unknown)
        assert before == (dict(self.packages.ages), {name: self.registry.versions(name) for name in NAMES})

    @invariant()
    def every_version_has_its_package(self) -> None:
        """What a version points at is there."""
        for name in NAMES:
            for one in self.registry.versions(name):
                assert (name, one.digest) in self.packages.ages

    def _still(self, one: Registered) -> bool:
        return any(known.version == one.version for known in self.registry.versions(one.name))


TestRegistry = Registry.TestCase
TestRegistry.settings = hypothesis_settings(max_examples=50, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("registered", [0, 1, 2, 3, 4])
def test_more_are_kept_than_there_are(registered: int) -> None:
    """Of fewer versions than are to be kept, none goes."""
    state = Registry()
    for number in range(registered):
        state.register(digest=f"sha256:{number:064d}", name=NAMES[0])
    state.collect(keep_last=3, name="", dry_run=False)
    assert len(state.registry.versions(NAMES[0])) == min(registered, 3)
    state.teardown()

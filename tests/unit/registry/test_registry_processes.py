"""Writers that meet, and writers that die, in every backend: real processes, killed by SIGKILL."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from models import tiny_package

from fairlead.registry import store
from fairlead.registry.choose import open_registry
from fairlead.settings import settings
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest

pytestmark = pytest.mark.usefixtures("backend")
FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def shared(backend: str) -> None:
    """Leave out what only one process can see."""
    if backend == "memory":
        pytest.skip("memory is one process's")


def _aliases(model: str) -> dict[str, tuple[str, ...]]:
    return {known.version: known.aliases for known in store.versions(model)}


def _at_once(work: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> None:
    workers = [FORK.Process(target=work, args=given) for given in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)


def _register_all(packages: list[Path], model: str, home: Path | None) -> None:
    if home:
        os.environ["FAIRLEAD_HOME"] = str(home)
    for package in packages:
        done = store.register(package, model, [Verdict("evaluation", package_digest(package), "approved")])
        store.keep_verdict(model, Verdict("canary", done.digest, "approved"))


@pytest.mark.parametrize("machines", [1, 4])
def test_registrations_at_once_lose_nothing(tmp_path: Path, model: str, backend: str, machines: int) -> None:
    """4 processes, on one machine or four, register 3 packages each, one of them common: 9 versions with all notes."""
    if backend == "mlflow" and machines > 1:
        pytest.skip("an SQLite file is one machine's")
    common = tiny_package(tmp_path / "common", bias=9.0)
    own = [[tiny_package(tmp_path / f"{w}-{n}", bias=w + n / 10) for n in range(2)] for w in range(4)]
    homes = [tmp_path / f"home-{worker}" if machines > 1 else None for worker in range(4)]
    _at_once(_register_all, [([*mine, common], model, home) for mine, home in zip(own, homes, strict=True)])
    found = store.versions(model)
    assert sorted(known.digest for known in found) == sorted(
        package_digest(package) for package in [common, *(package for mine in own for package in mine)]
    )
    assert len({known.version for known in found}) == 9
    assert all(known.verdicts == {"canary": "approved", "evaluation": "approved"} for known in found)
    assert sum("challenger" in known.aliases for known in found) == 1
    if machines == 1:
        assert all(package_digest(known.uri) == known.digest for known in found)


def _die_at(verb: str, when: str, package: Path, model: str) -> None:
    registry, packages = open_registry(settings())
    owner: Any = type(packages if verb == "keep" else registry)
    work = getattr(owner, verb)

    def die(*arguments: Any, **options: Any) -> None:
        if when == "after":
            work(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, verb, die)
    store.register(package, model, [Verdict("evaluation", package_digest(package), "approved")], documents={"a": "b"})


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", ["keep", "add", "write_note", "point"])
def test_a_registration_that_is_killed_is_finished_by_the_next(
    package: Path, other: Path, model: str, verb: str, when: str
) -> None:
    """Killed (-9) anywhere, it can be run again, and then is as if it had never died; until then all else stands."""
    store.register(package, model)
    store.set_alias(model, "1", "champion")
    process = FORK.Process(target=_die_at, args=(verb, when, other, model))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert store.find(model, "champion") == store.find(model, version="1")
    for known in store.versions(model):
        assert package_digest(known.uri) == known.digest
    done = store.register(
        other, model, [Verdict("evaluation", package_digest(other), "approved")], documents={"a": "b"}
    )
    assert (done.version, done.aliases, done.verdicts) == ("2", ("challenger",), {"evaluation": "approved"})
    assert store.documents(model, done.digest) == {"a": "b"}
    assert _aliases(model) == {"1": ("champion",), "2": ("challenger",)}

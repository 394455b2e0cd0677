"""Lineage, deployments and garbage, in every backend."""

import os
import shutil
import time
from pathlib import Path

import pytest
from models import tiny_package

from fairlead.errors import ConfigurationError, StateError
from fairlead.platform.laptop.places import Places
from fairlead.platform.laptop.state import PlatformState, ServiceState, VersionState
from fairlead.platform.laptop.status import ServiceStatus, VersionStatus
from fairlead.platform.serving import home
from fairlead.registry import deployments, garbage, lineage, store
from fairlead.registry.choose import open_registry
from fairlead.registry.comparison import find_one
from fairlead.registry.fetch_model.task import fetch_model
from fairlead.registry.garbage import collect_garbage
from fairlead.registry.records import Registered
from fairlead.settings import settings
from fairlead_serving.package import package_digest

pytestmark = pytest.mark.usefixtures("backend")


def test_lineage_is_told_both_ways(tmp_path: Path, model: str) -> None:
    """From a version to its datasets, code and run; from a dataset, by digest or name, to the versions."""
    data = {"name": f"{model}-departures", "digest": f"sha256:{'ab' * 32}", "rows": 12, "source": "s3://raw"}
    facts = {"train": data, "validation": {**data, "digest": "sha256:cd"}, "revision": "1234-dirty", "recipe": "tiny"}
    for number in range(2):
        made = tiny_package(tmp_path / f"{number}", bias=float(number), lineage={**facts, "statistics": {"x": 1}})
        store.register(made, model, run="flights/r7")
    found = lineage.find_version(model)
    assert found is not None
    assert found.version == "2"
    told = lineage.lineage_of(found)
    assert (told.revision, told.run, told.made_from, told.served) == ("1234-dirty", "flights/r7", "", ())
    assert [(used.role, used.digest, used.rows) for used in told.datasets] == [
        ("train", data["digest"], "12"),
        ("validation", "sha256:cd", "12"),
    ]
    assert not any(key.startswith("statistics") for key in found.lineage)
    for asked in (data["digest"], "sha256:ababab", "abababab"):
        mine = [(known.version, used.role) for known, used in lineage.models_from(str(asked)) if known.name == model]
        assert mine == [("1", "train"), ("2", "train")]
    assert len(lineage.models_from(f"{model}-departures")) == 4
    assert lineage.models_from("ffffffff") == []
    assert [known.version for known in lineage.versions_like(found.digest[:20]) if known.name == model] == ["2"]
    assert lineage.find_version(f"{model}:1") == store.find(model, version="1")
    assert lineage.find_version(f"{model}@champion") is None
    with pytest.raises(ConfigurationError, match="at least 6 digits"):
        lineage.models_from("sha256:ab")


def _service(digests: dict[str, float], stable: str, canary: str | None) -> ServiceStatus:
    versions = {
        digest: VersionStatus(digest=digest, version=str(number), port=1, percent=percent, condition="ready")
        for number, (digest, percent) in enumerate(digests.items(), 1)
    }
    return ServiceStatus(
        name="late", endpoint="http://127.0.0.1:8080/v1/models/late:predict", stable=stable, canary=canary,
        canary_percent=5, shadow_percent=0, versions=versions,
    )  # fmt: skip


def test_where_versions_are_served_is_told(package: Path, other: Path, model: str) -> None:
    """Records follow what runs: roles and shares, and what runs no more has none; a place can be forgotten."""
    first, second = store.register(package, model).digest, store.register(other, model).digest
    deployments.record(model, _service({first: 95.0, second: 5.0}, first, second))
    told = deployments.deployments(model)
    assert [(one.service, one.role, one.percent) for one in told[first]] == [("late", "stable", 95.0)]
    assert [(one.service, one.role, one.percent) for one in told[second]] == [("late", "canary", 5.0)]
    deployments.record(model, _service({first: 100.0}, first, None))
    assert set(deployments.deployments(model)) == {first}
    known = find_one(model, "1")
    assert [one.place for one in lineage.lineage_of(known).served] == [home().place]
    assert deployments.forget(model, "elsewhere") == 0
    assert deployments.forget(model, home().place) == 1
    assert deployments.deployments(model) == {}


def _four(tmp_path: Path, model: str) -> list[Registered]:
    """Four versions of which the first is archived and the second champion; the last is the challenger."""
    packages = [tiny_package(tmp_path / f"p{number}", bias=number / 10) for number in range(4)]
    for package in packages[:2]:
        done = store.register(package, model, documents={"model_card": "# old"})
        store.set_alias(model, done.version, "champion")
    return [store.register(package, model) for package in packages]


def _left(model: str) -> list[str]:
    return [known.version for known in store.versions(model)]


def test_garbage_is_what_nobody_needs(tmp_path: Path, model: str) -> None:
    """A dry run removes nothing; then versions, notes and packages go; aliased and latest stay; no number twice."""
    versions = _four(tmp_path, model)
    (told,) = collect_garbage(1, name=model)
    assert (told.version, told.digest) == ("3", versions[2].digest)
    assert told.size > 1000
    assert _left(model) == ["1", "2", "3", "4"]
    assert collect_garbage(1, name=model, dry_run=False) == [told]
    assert _left(model) == ["1", "2", "4"]
    assert not Path(versions[2].uri).exists()
    assert all(package_digest(known.uri) == known.digest for known in store.versions(model))
    assert collect_garbage(1, name=model, dry_run=False) == []
    with pytest.raises(ConfigurationError, match="0 or more"):
        collect_garbage(-1)

    for alias in ("archived", "champion", "challenger"):
        store.remove_alias(model, alias)
    assert [one.version for one in collect_garbage(1, name=model, dry_run=False)] == ["1", "2"]
    assert not fetch_model(tmp_path / "fetched", model, digest=versions[0].digest).found
    assert store.documents(model, versions[0].digest) == {}
    again = store.register(tmp_path / "p0", model)
    assert (again.version, again.verdicts) == ("5", {})
    assert store.documents(model, again.digest) == {}


def test_what_is_served_is_no_garbage(tmp_path: Path, model: str) -> None:
    """Neither what another machine has recorded, nor what the platform here runs or would go back to."""
    versions = _four(tmp_path, model)
    for alias in ("archived", "champion", "challenger"):
        store.remove_alias(model, alias)
    deployments.record(model, _service({versions[0].digest: 100.0}, versions[0].digest, None))
    run, back = (
        VersionState(digest=known.digest, version=known.version, package=known.uri, predictions="/p")
        for known in versions[1:3]
    )
    service = ServiceState(name="late", versions={run.digest: run}, stable=run.digest, previous=back)
    places = Places(settings().platform_home)
    places.home.mkdir(parents=True)
    PlatformState(services={"late": service}).save(places.state)
    assert [one.version for one in collect_garbage(0, name=model)] == ["4"]
    places.state.write_text("{")
    with pytest.raises(StateError, match="cannot be read as the platform's state"):
        collect_garbage(0, name=model, dry_run=False)
    assert _left(model) == ["1", "2", "3", "4"]


def test_what_killed_registrations_left_is_garbage_when_it_is_old(
    package: Path, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package without a version, and half a copy: a day later they go, unless the platform serves them."""
    known = store.register(tiny_package(tmp_path / "p", bias=0.1), model)
    folder = Path(known.uri).parent
    digest = package_digest(package)
    lost, half = folder / digest.removeprefix("sha256:"), folder / f".{'e' * 64}.x1y2"
    shutil.copytree(package, lost)
    half.mkdir()
    assert collect_garbage(9, name=model) == []
    for path in (lost, half):
        os.utime(path, (time.time() - garbage.SETTLED_SECONDS - 9,) * 2)
    assert [one.digest for one in collect_garbage(9, name=model, served=lambda: {digest: "here"})] == [half.name]
    assert {one.digest for one in collect_garbage(9, name=model, dry_run=False)} == {digest, half.name}
    assert list(folder.iterdir()) == [Path(known.uri)]


def test_a_collection_that_is_killed_goes_on_later(tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the version went, its package is left: it can be registered again, or collected when it is old."""
    versions = _four(tmp_path, model)
    _, packages = open_registry(settings())

    def die(*_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(packages), "remove", die)
    with pytest.raises(KeyboardInterrupt):
        collect_garbage(1, name=model, dry_run=False)
    assert _left(model) == ["1", "2", "4"]
    assert Path(versions[2].uri).is_dir()
    assert store.register(tmp_path / "p2", model).version == "5"

"""models, lineage, gc: what they say of a registry in memory, and what they leave alone."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from memory_registry import MemoryRegistry, use
from models import tiny_package

from fairlead.platform.laptop.status import ServiceStatus, VersionStatus
from fairlead.platform.serving import home
from fairlead.registry import deployments, store
from fairlead.registry.packages import FolderPackages
from fairlead.settings import settings
from fairlead.verdicts import Verdict
from fairlead_pipelines.command.main import main
from fairlead_serving.package import package_digest

TRAIN = {"name": "departures", "digest": "sha256:" + "ab" * 32, "rows": 1200, "source": "s3://raw/flights"}


def call(*arguments: str, code: int = 0) -> Result:
    """Run a command and check its exit status."""
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": "220"})
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry without models."""
    use(MemoryRegistry(), FolderPackages(settings().registry_home / "packages"), monkeypatch)


@pytest.fixture
def digests(empty: None, tmp_path: Path) -> list[str]:
    """Four versions: the second is champion and served, the last is the challenger."""
    made = []
    for number in range(4):
        package = tiny_package(
            tmp_path / str(number), bias=number / 10, lineage={"train": TRAIN, "revision": f"c0ffee{number}"}
        )
        digest = package_digest(package)
        verdict = Verdict("evaluation", digest, "approved", {"roc_auc": 0.7 + number / 100})
        made.append(store.register(package, "flights", [verdict], run=f"flights/r{number}").digest)
    store.set_alias("flights", "2", "champion")
    serving = VersionStatus(digest=made[1], version="2", port=1, percent=95.0, condition="ready")
    service = ServiceStatus(
        name="late", endpoint="http://127.0.0.1:8080/v1/models/late:predict", stable=made[1], canary=None,
        canary_percent=0, shadow_percent=0, versions={made[1]: serving},
    )  # fmt: skip
    deployments.record("flights", service)
    return made


def test_an_empty_registry_says_what_to_do(empty: None) -> None:
    """Each command has a word for it."""
    assert "Make one: fairlead run flights" in call("models").output
    assert "No model 'flights' is registered" in call("models", "flights").output
    assert json.loads(call("models", "--json").output) == {}
    assert "Nothing to remove" in call("gc").output
    assert "nothing registered is called or made from 'flights'" in call("lineage", "flights", code=1).output


def test_models_lists_models_and_versions(digests: list[str]) -> None:
    """Champion, challenger and place of each model; digest, aliases, verdicts and place of each version."""
    (line,) = (line for line in call("models").output.splitlines() if "flights" in line)
    assert line.split()[:4] == ["flights", "4", "2", "4"]
    assert "late stable 95 % on" in line
    lines = call("models", "flights").output.splitlines()
    (champion,) = (line for line in lines if "champion" in line)
    assert champion.split()[:5] == ["2", digests[1][7:19], "champion", "evaluation", "approved"]
    told = json.loads(call("models", "flights", "--json").output)["flights"]
    assert [(one["version"], one["aliases"]) for one in told] == [
        ("1", []), ("2", ["champion"]), ("3", []), ("4", ["challenger"]),
    ]  # fmt: skip
    assert told[1]["served"][0]["role"] == "stable"


def test_models_compares_two_versions(digests: list[str]) -> None:
    """Figures with their difference, and what differs in how they were made."""
    said = call("models", "flights", "--compare", "champion", "4").output
    (figure,) = (line.split() for line in said.splitlines() if "evaluation.roc_auc" in line)
    assert figure[1:] == ["0.71", "0.73", "+0.02"]
    assert "c0ffee1" in said
    assert "train.digest" not in said
    assert json.loads(call("models", "flights", "--compare", "1", "2", "--json").output)["lineage"]["revision"] == [
        "c0ffee0", "c0ffee1",
    ]  # fmt: skip
    assert "one package" in call("models", "flights", "--compare", "2", "champion").output
    assert "has no version '9'" in call("models", "flights", "--compare", "1", "9", code=1).output
    assert "needs the model's NAME" in call("models", "--compare", "1", "9", code=2).output


def test_lineage_goes_both_ways(digests: list[str]) -> None:
    """A model's origin and place; a dataset's models; by name, alias, version, digest, or its first digits."""
    said = call("lineage", "flights").output
    for part in ("flights version 2", "departures sha256:abababababab, 1200 rows, from s3://raw/flights", "c0ffee1",
                 "flights/r1", "evaluation approved", "late on", "stable, 95 % at"):  # fmt: skip
        assert part in said
    assert "flights version 4" in call("lineage", "flights@challenger").output
    assert "served       nowhere" in call("lineage", "flights:1").output
    assert "flights version 3" in call("lineage", digests[2][:20]).output
    for dataset in (TRAIN["digest"], "sha256:ababab", "departures"):
        assert call("lineage", str(dataset)).output.count("train departures") == 4
    assert "nothing registered" in call("lineage", "flights:9", code=1).output


def test_gc_tells_before_it_removes(digests: list[str]) -> None:
    """Without --delete nothing goes; with it, what was told; a place that is no more can be forgotten."""
    said = call("gc", "--keep", "0").output
    assert "2 would be removed" in said
    assert len(store.versions("flights")) == 4
    said = call("gc", "flights", "--keep", "1", "--delete").output
    assert f"flights version 1 {digests[0][7:19]}" in said
    assert "2 removed" in said
    assert [known.version for known in store.versions("flights")] == ["2", "4"]
    store.remove_alias("flights", "champion")
    assert "Nothing to remove" in call("gc", "--keep", "1").output
    place = home().place
    assert "1 deployment records were dropped" in call("gc", "--forget", place, "--keep", "1", "--delete").output
    assert [known.version for known in store.versions("flights")] == ["4"]

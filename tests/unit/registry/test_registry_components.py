"""register_model and fetch_model: policy, files, and what KFP gets."""

import json
from pathlib import Path

import pytest
from kfp import dsl

from fairlead.errors import ConfigurationError, PackageError, VerdictError
from fairlead.registry import store
from fairlead.registry.fetch_model.component import fetch_model as fetch_component
from fairlead.registry.fetch_model.task import fetch_model
from fairlead.registry.register_model.component import register_model as register_component
from fairlead.registry.register_model.task import register_model
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest

POLICY = {"registration": ["evaluation", "comparison"], "deployment": ["evaluation"]}


def _verdict(folder: Path, judge: str, digest: str, outcome: str = "approved") -> Path:
    Verdict(judge, digest, outcome, reasons=["as drawn"]).write(folder / f"{judge}.json")  # type: ignore[arg-type]
    return folder / f"{judge}.json"


def test_a_model_with_all_verdicts_is_registered(package: Path, tmp_path: Path) -> None:
    """The file `registered` tells later steps what and where it is."""
    digest = package_digest(package)
    files = [_verdict(tmp_path, judge, digest) for judge in POLICY["registration"]]
    done = register_model(package, "flights", POLICY, files, tmp_path / "registered.json")
    written = json.loads((tmp_path / "registered.json").read_text())
    assert written == {"name": "flights", "version": "1", "digest": digest, "uri": done.uri}
    assert done.verdicts == {"comparison": "approved", "evaluation": "approved"}


def test_a_model_without_is_refused(package: Path, tmp_path: Path) -> None:
    """The error names every judge that objects; the file `registered` is not written."""
    digest = package_digest(package)
    files = [_verdict(tmp_path, "comparison", digest, "inconclusive")]
    with pytest.raises(VerdictError) as caught:
        register_model(package, "flights", POLICY, files, tmp_path / "registered.json")
    assert "evaluation: no verdict" in str(caught.value)
    assert "comparison: inconclusive: as drawn" in str(caught.value)
    assert not (tmp_path / "registered.json").exists()


def test_a_policy_with_an_unknown_judge_is_refused(package: Path, tmp_path: Path) -> None:
    """A judge that nobody is would otherwise never be satisfied, or never be asked."""
    with pytest.raises(ConfigurationError, match="did you mean 'evaluation'"):
        register_model(package, "flights", {"registration": ["evaluate"]}, [], tmp_path / "registered.json")


@pytest.mark.parametrize("by", ["champion", "1", "digest"])
def test_a_model_is_fetched_by_alias_version_or_digest(package: Path, tmp_path: Path, by: str) -> None:
    """The copy is the package, and replaces what an earlier try left."""
    digest = store.register(package, "flights").digest
    store.set_alias("flights", "1", "champion")
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / "left").write_text("over")
    done = fetch_model(tmp_path / "fetched", "flights", digest if by == "digest" else by)
    assert (done.found, done.version, done.digest) == (True, "1", digest)
    assert package_digest(tmp_path / "fetched") == digest


def test_no_model_is_an_empty_folder(tmp_path: Path) -> None:
    """That there is no champion yet is no error."""
    done = fetch_model(tmp_path / "fetched", "flights")
    assert (done.found, done.version, done.digest) == (False, "", "")
    assert list((tmp_path / "fetched").iterdir()) == []


def test_a_tampered_or_missing_package_is_not_fetched(package: Path, tmp_path: Path) -> None:
    """What is fetched is what was registered, or nothing."""
    uri = Path(store.register(package, "flights", alias="champion").uri)
    (uri / "fairlead" / "package.json").write_text("{}")
    with pytest.raises(PackageError, match="is not what was registered"):
        fetch_model(tmp_path / "fetched", "flights")
    uri.rename(tmp_path / "gone")
    with pytest.raises(PackageError, match="cannot be read"):
        fetch_model(tmp_path / "fetched", "flights")
    assert not (tmp_path / "fetched").exists()


def test_the_components_return_what_they_promise(package: Path, tmp_path: Path) -> None:
    """Outputs by name and metadata on artifacts."""
    model = dsl.Model(uri=str(tmp_path / "fetched"))
    assert fetch_component.python_func(model, "flights") == (False, "", "")
    assert model.metadata["found"] is False
    digest = package_digest(package)
    verdict = dsl.Artifact(uri=str(_verdict(tmp_path, "evaluation", digest)))
    registered = dsl.Artifact(uri=str(tmp_path / "registered"))
    policy = {"registration": ["evaluation"]}
    outputs = register_component.python_func(dsl.Model(uri=str(package)), "flights", policy, registered, verdict)
    assert outputs == ("1", digest)
    assert registered.metadata["version"] == "1"
    assert fetch_component.python_func(model, "flights", "challenger") == (True, "1", digest)

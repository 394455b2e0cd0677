"""register_model and fetch_model: policy, files, and what KFP gets."""

import json
from pathlib import Path

import pytest
from kfp import dsl

from fairlead.errors import ConfigurationError, SourceError, VerdictError
from fairlead.registry import store
from fairlead.registry.fetch_model.component import fetch_model as fetch_component
from fairlead.registry.fetch_model.task import fetch_model
from fairlead.registry.register_model.component import register_model as register_component
from fairlead.registry.register_model.task import register_model, run_of
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


def test_no_model_is_an_empty_folder(tmp_path: Path) -> None:
    """That there is no champion yet is no error."""
    done = fetch_model(tmp_path / "fetched", "flights")
    assert (done.found, done.version, done.digest) == (False, "", "")
    assert list((tmp_path / "fetched").iterdir()) == []


def test_documents_are_kept_or_refused(package: Path, tmp_path: Path) -> None:
    """Model card and datasheet go into the registry; one that cannot be read stops the registration."""
    card = tmp_path / "card.md"
    card.write_text("# Tiny", encoding="utf-8")
    policy: dict[str, list[str]] = {"registration": []}
    done = register_model(package, "flights", policy, [], tmp_path / "registered.json", {"model_card": card})
    assert store.documents("flights", done.digest) == {"model_card": "# Tiny"}
    with pytest.raises(SourceError, match="cannot be kept with the model"):
        register_model(package, "flights", policy, [], tmp_path / "r.json", {"datasheet": tmp_path / "none.md"})
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("path", "run"),
    [
        (
            "{home}/runs/flights/20261121-101530-1a2b/artifacts/x/register-model/registered",
            "flights/20261121-101530-1a2b",
        ),
        ("/minio/mlpipeline/v2/artifacts/flights/6f0c-11/register-model/registered", "flights/6f0c-11"),
        ("/s3/bucket/prefix/v2/artifacts/flights/6f0c-11/8/register-model/registered", "flights/6f0c-11"),
        ("/somewhere/registered", ""),
        ("/minio/v2/artifacts", ""),
    ],
)
def test_the_run_is_read_from_the_path(path: str, run: str, own_state: Path) -> None:
    """As the local runner and as Kubeflow Pipelines lay artifacts out; elsewhere it is not recorded."""
    assert run_of(path.format(home=own_state)) == run


def test_the_components_return_what_they_promise(package: Path, tmp_path: Path, own_state: Path) -> None:
    """Outputs by name and metadata on artifacts."""
    model = dsl.Model(uri=str(tmp_path / "fetched"))
    assert fetch_component.python_func(model, "flights") == (False, "", "")
    assert model.metadata["found"] is False
    digest = package_digest(package)
    verdict = dsl.Artifact(uri=str(_verdict(tmp_path, "evaluation", digest)))
    load = dsl.Artifact(uri=str(_verdict(tmp_path, "load", digest)))
    (tmp_path / "datasheet.md").write_text("# Rows")
    registered = dsl.Artifact(uri=str(own_state / "runs" / "flights" / "r1" / "registered"))
    policy = {"registration": ["evaluation", "load"]}
    outputs = register_component.python_func(
        dsl.Model(uri=str(package)), "flights", policy, registered, evaluation=verdict, load=load,
        datasheet=dsl.Markdown(uri=str(tmp_path / "datasheet.md")),
    )  # fmt: skip
    assert outputs == ("1", digest)
    (known,) = store.versions("flights")
    assert known.verdicts == {"evaluation": "approved", "load": "approved"}
    assert known.lineage["run"] == "flights/r1"
    assert store.documents("flights", digest) == {"datasheet": "# Rows"}
    assert registered.metadata["version"] == "1"
    assert fetch_component.python_func(model, "flights", "challenger") == (True, "1", digest)
    assert fetch_component.python_func(model, "flights", digest=digest) == (True, "1", digest)

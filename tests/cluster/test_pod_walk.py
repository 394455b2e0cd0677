"""Compiled packages, walked step by step as Pods: what KFP would start, in its order, with artifacts on S3."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pods import Pods, StepError, fresh_namespace
from walker import Document, Walk, read

from fairlead.platform.kubeflow.api import Cluster

pytestmark = pytest.mark.cluster

# A program that tells what a step of KFP finds around it.
AROUND = """
import json, os, pathlib, sys
given = json.loads(sys.argv[1])
print("KEYS", sorted(name for name in os.environ if name.startswith(("LAUNCHER_", "AWS_"))))
for top in ("/s3", "/minio", "/gcs", "/.cache", "/.config", "/.local", "/tmp"):
    pathlib.Path(top, "written").write_text("x")
path = pathlib.Path(given["outputs"]["artifacts"]["made"]["artifacts"][0]["uri"].replace("s3://", "/s3/"))
assert path.parent.is_dir() and not path.exists()
(path / "deep").mkdir(parents=True)
(path / "deep" / "file").write_text(given["inputs"]["parameterValues"]["word"])
pathlib.Path(given["outputs"]["parameters"]["said"]["outputFile"]).write_text("done")
if given["inputs"]["parameterValues"]["word"] == "fail":
    sys.exit("this step was told to fail")
"""


@pytest.fixture(scope="module")
def pods(cluster: Cluster, s3: Any) -> Iterator[Pods]:
    """A place for steps."""
    with fresh_namespace(cluster) as namespace:
        steps = Pods(cluster, namespace, s3, namespace, environment={"OMP_NUM_THREADS": "1"}, timeout_seconds=900.0)
        steps.prepare()
        yield steps
        steps.clear()


def tiny(reference: str, bucket: str, word: str) -> tuple[Document, Document]:
    """A step that is that program, and what it is given."""
    container = {"image": reference, "command": ["python3", "-c", AROUND], "args": ["{{$}}"]}
    made = {
        "name": "made",
        "type": {"schemaTitle": "system.Dataset"},
        "uri": f"s3://{bucket}/{word}/made",
        "metadata": {},
    }
    outputs = {
        "outputFile": "/tmp/kfp_outputs/output_metadata.json",  # noqa: S108 - inside the Pod
        "parameters": {"said": {"outputFile": "/tmp/kfp/outputs/said"}},  # noqa: S108
        "artifacts": {"made": {"artifacts": [made]}},
    }
    return container, {"inputs": {"parameterValues": {"word": word}, "artifacts": {}}, "outputs": outputs}


def test_a_step_finds_what_kfp_promises(pods: Pods, images: Callable[[str], str]) -> None:
    """Folders that KFP mounts can be written; outputs' parents are there; files below an artifact are uploaded."""
    ended = pods.run("around", *tiny(images("base"), pods.bucket, "hello"))
    assert ended.parameters == {"said": "done"}
    assert pods.files(ended.artifacts["made"]["uri"]) == {"deep/file": b"hello"}
    assert "KEYS []" in pods.cluster.logs("around", namespace=pods.namespace)


def test_a_failed_step_shows_its_words_and_uploads_nothing(pods: Pods, images: Callable[[str], str]) -> None:
    """What the step wrote last is in the error; half an artifact never reaches the object store."""
    with pytest.raises(StepError, match="told to fail"):
        pods.run("failing", *tiny(images("base"), pods.bucket, "fail"))
    assert pods.files(f"s3://{pods.bucket}/fail/made") == {}


def walk(repository: Path, name: str, pods: Pods, changes: Document) -> Walk:
    """A walk through one of the shipped packages."""
    package = read(repository / "pipelines" / "fairlead_pipelines" / "compiled" / f"{name}.yaml")
    defaults = {
        n: g["defaultValue"]
        for n, g in package["root"]["inputDefinitions"]["parameters"].items()
        if "defaultValue" in g
    }
    merged = {k: defaults[k] | v if isinstance(v, dict) else v for k, v in changes.items()}
    return Walk(package, merged, lambda step, *rest: pods.run(f"{name}-{step}", *rest), f"s3://{pods.bucket}/{name}")


@pytest.mark.slow
def test_flights_data_are_made_by_pods(repository: Path, pods: Pods, images: Callable[[str], str]) -> None:
    """336,776 departures are read, checked, turned into features, joined in time and split, each step a Pod."""
    images("base")
    made = dict(walk(repository, "flights", pods, {}).steps(only=["split-dataset", "write-datasheet"]))
    assert made["ingest-dataset"].artifacts["dataset"]["metadata"]["rows"] == 336_776
    split = made["split-dataset"].artifacts
    rows = {part: split[part]["metadata"]["rows"] for part in ("train", "validation", "test")}
    assert rows["train"] > rows["test"] > 0
    assert 100_000 < sum(rows.values()) < split["train"]["metadata"]["total_rows"]  # an embargo lies between the parts


@pytest.mark.slow
def test_digits_goes_from_a_file_to_a_judged_model(repository: Path, pods: Pods, images: Callable[[str], str]) -> None:
    """Ingestion, training, export, quantization and every judge, the server's trial among them, each step a Pod."""
    for name in ("base", "training"):
        images(name)
    short = {"augmentation": {"copies": 1.0}, "train": {"epochs": 1.0}, "evaluation": {"baselines": ["majority"]}}
    judges = ["evaluate-model", "evaluate-slices", "check-behaviour", "validate-server", "load-test-model"]
    made = dict(walk(repository, "digits", pods, short).steps(only=judges))
    digest = made["calibrate-model"].artifacts["calibrated"]["metadata"]["digest"]
    assert digest.startswith("sha256:")
    judged = [
        made[name].artifacts["verdict"]["metadata"]["digest"] for name in judges if "verdict" in made[name].artifacts
    ]
    assert set(judged) == {digest}
    assert made["evaluate-model"].artifacts["metrics"]["metadata"]["accuracy"] > 0.9

"""What breaks on a real Kubeflow Pipelines although it compiles is found; every package that ships is free of it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes_pb
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from fairlead.errors import ConfigurationError
from fairlead_pipelines import catalog
from fairlead_pipelines.packages import package as packages
from fairlead_pipelines.packages.checks import defects, refuse_defects, source_of
from fairlead_pipelines.packages.compilation import compile_for
from fairlead_pipelines.packages.overlay import names

Change = Callable[[dict[str, Any]], object]

ALONE = """
import json

LIMIT = 1


def train_model(a: Input[Model], n: int = LIMIT) -> NamedTuple("O", [("x", int)]):
    from math import pi

    def half(v):
        return v / 2 + pi

    return [half(i) for i in json.loads("[1]")]
"""


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    """A configured package's documents."""
    return compile_for("flights", "production").package.documents()


def written(tmp_path: Path, documents: list[dict[str, Any]], change: Change) -> packages.Package:
    """The package with a change to its first document."""
    content = json.loads(json.dumps(documents))
    change(content[0])
    file = tmp_path / "package.yaml"
    file.write_text(yaml.safe_dump_all(content))
    return packages.read(file)


def container(content: dict[str, Any]) -> dict[str, Any]:
    """The container of one step."""
    return dict.__getitem__(content["deploymentSpec"]["executors"]["exec-train-model"], "container")


def source(content: dict[str, Any], text: str) -> None:
    """Gives a step another source."""
    container(content)["command"][-1] = text


def image(reference: str) -> Change:
    """Gives a step another image."""
    return lambda content: container(content).update(image=reference)


def large(content: dict[str, Any]) -> None:
    """Makes one parameter's default too large for a pod's arguments."""
    content["root"]["inputDefinitions"]["parameters"]["train"]["defaultValue"] = {"rows": "x" * 110_000}


def optional_number(content: dict[str, Any]) -> None:
    """Gives a component an optional whole number without a default."""
    spec = {"parameterType": "NUMBER_INTEGER", "isOptional": True}
    content["components"]["comp-train-model"]["inputDefinitions"]["parameters"]["rounds"] = spec


def artifact(content: dict[str, Any]) -> None:
    """Gives an output a type that KFP does not know."""
    outputs = content["components"]["comp-train-model"]["outputDefinitions"]["artifacts"]
    outputs["metrics"]["artifactType"]["schemaTitle"] = "system.Figures"


def cached(content: dict[str, Any]) -> None:
    """Caches a step that acts on the outside."""
    content["root"]["dag"]["tasks"]["deploy-model"]["cachingOptions"] = {"enableCache": True}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (image("fairlead-training"), "has no fixed tag"),
        (image("fairlead-training:latest"), "has no fixed tag"),
        (image("localhost:5000/fairlead-training"), "has no fixed tag"),
        (lambda c: source(c, "def train_model(a: typing.NamedTuple) -> None:\n    pass\n"), "typing does not exist"),
        (lambda c: source(c, "def train_model(a: str = LIMIT) -> None:\n    pass\n"), "LIMIT does not exist"),
        (lambda c: source(c, "def train_model(a: str) -> None:\n    return helper(a)\n"), "helper does not exist"),
        (lambda c: source(c, "def train_model(a: str) -> None:\nreturn 1\n"), "does not stand alone"),
        (optional_number, "optional whole number 'rounds'"),
        (artifact, "system.Figures"),
        (cached, "deploy-model: acts on other systems"),
        (large, "its parameters have"),
        (lambda c: c["pipelineInfo"].update(name="Flights!"), "name 'Flights!' is refused"),
        (lambda c: c.update(schemaVersion="2.0.0"), "schema is 2.0.0"),
    ],
)
def test_each_defect_is_found(tmp_path: Path, documents: list[dict[str, Any]], change: Change, told: str) -> None:
    """A package with one defect is refused by its name."""
    with pytest.raises(ConfigurationError, match=told):
        refuse_defects(written(tmp_path, documents, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        image("registry.example.org:5000/fairlead-training:1.0"),
        image("x/fairlead-training@sha256:" + "a" * 64),
        lambda c: source(c, ALONE),
    ],
)  # fmt: skip
def test_what_is_right_is_not_refused(tmp_path: Path, documents: list[dict[str, Any]], change: Change) -> None:
    """The same package without a defect passes, whatever its source defines and imports itself."""
    assert defects(written(tmp_path, documents, change)) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"emptyDirMounts": [{"volumeName": "a", "mountPath": "/x"}, {"volumeName": "b", "mountPath": "/x"}]},
            "/x is mounted twice",
        ),
        (
            {
                "secretAsEnv": [{"secretName": "a", "keyToEnv": [{"secretKey": "k", "envVar": "A"}]}],
                "configMapAsEnv": [{"configMapName": "a", "keyToEnv": [{"configMapKey": "k", "envVar": "A"}]}],
            },
            "variable A is set twice",
        ),
        ({"secretsAsEnv": []}, "kfp-kubernetes does not know it"),
    ],
)
def test_defects_of_settings_for_kubernetes(
    documents: list[dict[str, Any]], settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    """Settings that contradict themselves, or that nobody knows."""
    whole = written(tmp_path, documents[:1], lambda _: None)
    broken = packages.Package(whole.head, whole.spec, {"exec-train-model": settings})
    assert any(told in line for line in defects(broken)), defects(broken)
    strange = packages.Package(whole.head, whole.spec, {"exec-nobody": {}})
    assert any("no executor of this package" in line for line in defects(strange))


@pytest.mark.parametrize("overlay", ["", *names()])
@pytest.mark.parametrize("name", catalog.names())
def test_every_package_is_what_the_server_parses(name: str, overlay: str, tmp_path: Path) -> None:
    """Each pipeline with each overlay: the protobufs take it strictly, kfp's own loader too, and no defect is in it."""
    file = tmp_path / "package.yaml"
    compile_for(name, overlay, "registry.example.org/fairlead").package.write(file)
    specification, *platform = yaml.safe_load_all(file.read_text())
    spec = json_format.ParseDict(specification, pb.PipelineSpec(), ignore_unknown_fields=False)
    executors = json_format.ParseDict(specification["deploymentSpec"], pb.PipelineDeploymentConfig()).executors
    assert set(executors) == {c.executor_label for c in spec.components.values() if c.executor_label}
    for document in platform:
        json_format.ParseDict(document, pb.PlatformSpec(), ignore_unknown_fields=False)
        for label, content in document["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items():
            json_format.ParseDict(content, kubernetes_pb.KubernetesExecutorConfig(), ignore_unknown_fields=False)
            assert label in executors
    assert bool(platform) == bool(overlay)
    loaded = components.load_component_from_file(str(file))
    assert loaded.pipeline_spec == spec
    assert defects(packages.read(file)) == []


@pytest.mark.parametrize("name", catalog.names())
def test_sources_define_their_function_in_a_clean_process(name: str, tmp_path: Path) -> None:
    """Each component's source alone, run as KFP's executor runs it (_KFP_RUNTIME), defines its function."""
    sources = {e.component: source_of(e) for e in packages.read(catalog.COMPILED / f"{name}.yaml").executors()}
    assert len(sources) > 10
    (tmp_path / "sources.json").write_text(json.dumps(sources))
    code = (
        "import json, typing\n"
        "for name, text in json.load(open('sources.json')).items():\n"
        "    space = {}\n"
        "    exec(compile(text, name, 'exec'), space)\n"
        "    typing.get_type_hints(space[name])\n"
    )
    environment = {**os.environ, "_KFP_RUNTIME": "true"}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_container_does_its_work_by_the_launcher_s_convention(tmp_path: Path) -> None:
    """A step's own command and arguments from the package, with an executor input as KFP's launcher writes it."""
    (tmp_path / "rows.csv").write_text("a,y\n1,0\n2,1\n")
    outputs = tmp_path / "outputs"
    kind = {"schemaTitle": "system.Dataset"}
    dataset = {"name": "dataset", "uri": str(outputs / "dataset"), "type": kind, "metadata": {}}
    runtime = {
        "inputs": {"parameterValues": {"name": "rows", "source": str(tmp_path / "rows.csv"), "table": {}}},
        "outputs": {
            "artifacts": {"dataset": {"artifacts": [dataset]}},
            "outputFile": str(outputs / "executor_output.json"),
        },
    }
    (executor,) = [
        e for e in packages.read(catalog.COMPILED / "digits.yaml").executors() if e.label == "exec-ingest-dataset"
    ]
    arguments = [json.dumps(runtime) if part == "{{$}}" else part for part in executor.spec.args]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        [*executor.spec.command, *arguments], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    noted = json.loads((outputs / "executor_output.json").read_text())["artifacts"]["dataset"]["artifacts"][0][
        "metadata"
    ]
    assert noted["rows"] == 2

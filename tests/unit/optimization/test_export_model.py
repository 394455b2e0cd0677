"""export_model makes packages that predict what the checkpoint does, and proves it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from unit.optimization.conftest import random_checkpoint
from unit.training.late_rows import MODEL

from fairlead.datasets import read_table
from fairlead.errors import ConfigurationError, PackageError, SourceError
from fairlead.optimization import packaging
from fairlead.optimization.export_model.task import Export, export, whole_numbers
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.recipes.torch_graph import TorchGraph
from fairlead.training.spec import ModelSpec
from fairlead_serving.errors import RequestInvalidError
from fairlead_serving.fields import Schema
from fairlead_serving.package import ModelPackage

REQUEST: dict[str, Any] = {
    "fields": {"carrier": "string", "leaves": "timestamp"},
    "prediction_time": {"field": "leaves", "minus_seconds": 7200.0},
    "derive": [{"name": "hour", "field": "leaves", "part": "hour", "time_zone": "America/New_York"}],
    "freshness": {"maximum_age_seconds": 172800.0},
}


def run(checkpoint: Path, sample: Path, out: Path, **changes: Any) -> Export:
    """Exports with some parameters changed."""
    given: dict[str, Any] = {"name": "tiny", "label": "late", "request": {}, "feature_service": "", **changes}
    return export(checkpoint, sample, out, **given)


@pytest.fixture(scope="module")
def exported(checkpoint: Path, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Export]:
    """A package and what the export returned."""
    path = tmp_path_factory.mktemp("package") / "package"
    return path, run(checkpoint, sample, path, request=REQUEST, feature_service="tiny")


def test_the_package_opens_by_its_digest(exported: tuple[Path, Export]) -> None:
    """The digest that the export tells is the package's."""
    path, export_ = exported
    package = ModelPackage.open(path, export_.digest)
    assert [entry.name for entry in package.manifest.inputs] == [*MODEL["categorical"], *MODEL["numeric"]]
    assert package.manifest.categorical[0].vocabulary == ("AA", "B6", "DL", "UA")
    assert export_.metadata["digest"] == export_.digest


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"checks": {"hour": {"minimum": 0.0, "maximum": 23.0}, "carrier": {"missing": "refuse"}}}, "hour"),
        (REQUEST | {"checks": {"leaves": {"missing": "refuse"}, "carrier": {"missing": "refuse"}}}, "leaves"),
    ],
    ids=["inputs", "fields"],
)
def test_declared_checks_are_in_the_package(
    checkpoint: Path, sample: Path, tmp_path: Path, request_: dict[str, Any], field: str
) -> None:
    """What the problem declares of values is what the server refuses by, whether requests hold inputs or fields."""
    run(checkpoint, sample, tmp_path / "package", request=request_)
    manifest = ModelPackage.open(tmp_path / "package").manifest
    assert manifest.checks == request_["checks"]
    assert (manifest.request is None) == ("fields" not in request_)
    assert "checks" not in (manifest.request or {})
    asked = manifest.request
    schema = Schema.of_request(asked, manifest.checks) if asked else Schema.of_inputs(manifest)
    assert schema.checks.keys() == {field, "carrier"}
    with pytest.raises(RequestInvalidError, match="carrier"):
        schema.read("carrier", [None])


@pytest.mark.parametrize(
    ("checks", "told"),
    [
        ({"hour": {"maximum": 3.0}}, "'hour' of row .* at most 3"),
        ({"ours": {"maximum": 3.0}}, "'ours'.*hour"),
        ({"carrier": {"maximum": 3.0}}, "'carrier', which holds .* not numbers"),
        ({"hour": {"minimum": 3.0, "maximum": 1.0}}, "nothing lies from 3 to 1"),
    ],
)
def test_checks_that_cannot_be_meant_are_refused(
    checkpoint: Path, sample: Path, tmp_path: Path, checks: dict[str, Any], told: str
) -> None:
    """One that refuses rows the model was trained on, an unknown field, a range of texts, a range of nothing."""
    with pytest.raises(ConfigurationError, match=told):
        run(checkpoint, sample, tmp_path / "package", request={"checks": checks})
    assert not (tmp_path / "package").exists()


def test_parity_is_stated(exported: tuple[Path, Export]) -> None:
    """Every row of the sample was compared, from plain values as a client sends them."""
    assert exported[1].metrics["largest_difference"] <= 1e-5
    assert exported[1].metrics["compared_rows"] == 600


def test_missing_and_unknown_values_are_predicted_as_torch_does(
    exported: tuple[Path, Export], checkpoint: Path
) -> None:
    """Gaps, infinities, unknown and missing categories take the same way through ONNX as through torch."""
    package, made = ModelPackage.open(exported[0]), Checkpoint.read(checkpoint)
    columns: dict[str, list[Any]] = {
        "carrier": ["AA", None, "never seen", "UA"], "gate": [0, 7, None, 2], "hour": [5, None, 9, 22],
        "wind": [None, float("inf"), float("-inf"), 1e35], "always": [7.0, 7.0, None, 0.0],
    }  # fmt: skip
    graph = find_recipe("tabular-network").graph(made.fitted.weights, made.design)
    expected = graph.predict(pa.table(columns))["probability"]
    assert np.isfinite(expected).all()
    assert package.predict(columns)["probability"] == pytest.approx(expected, abs=1e-6)


def test_equal_checkpoints_give_equal_digests(
    exported: tuple[Path, Export], checkpoint: Path, sample: Path, tmp_path: Path
) -> None:
    """Nothing in a package depends on when or where it was written."""
    again = run(checkpoint, sample, tmp_path / "elsewhere", request=REQUEST, feature_service="tiny")
    assert again.digest == exported[1].digest


def test_the_package_holds_data_only(exported: tuple[Path, Export]) -> None:
    """No pickle, no code, no path of the machine that made it."""
    files = sorted(file.relative_to(exported[0]).as_posix() for file in exported[0].rglob("*") if file.is_file())
    assert {
        "MLmodel",
        "model.onnx",
        "fairlead/package.json",
        "fairlead/lineage.json",
        "fairlead/reference.parquet",
    } <= {*files}
    assert not [name for name in files if name.endswith((".py", ".pkl", ".pt", ".bin", ".joblib"))]
    assert b"/fairlead/training" not in (exported[0] / "model.onnx").read_bytes()


def test_the_order_of_the_requests_fields_changes_nothing(
    checkpoint: Path, sample: Path, exported: tuple[Path, Export], tmp_path: Path
) -> None:
    """A pipeline hands `fields` over in any order; the package and its digest stay the same."""
    turned = {**REQUEST, "fields": dict(reversed(REQUEST["fields"].items()))}
    again = run(checkpoint, sample, tmp_path / "turned", request=turned, feature_service="tiny")
    assert again.digest == exported[1].digest


def test_the_request_is_kept_in_whole_numbers(exported: tuple[Path, Export]) -> None:
    """KFP's floats are integers again, and the feature service is named."""
    request = json.loads((exported[0] / "fairlead/package.json").read_text())["request"]
    assert str(request["prediction_time"]["minus_seconds"]) == "7200"
    assert request["feature_service"] == "tiny"
    assert request["derive"][0]["time_zone"] == "America/New_York"
    assert whole_numbers({"a": [1.0, 1.5], "b": True}) == {"a": [1, 1.5], "b": True}


def test_the_reference_sample_is_the_packages_own(exported: tuple[Path, Export], sample: Path) -> None:
    """It holds the inputs, the label and the probabilities that the package predicts."""
    reference = pq.read_table(exported[0] / packaging.REFERENCE)
    assert reference.column_names == [*MODEL["categorical"], *MODEL["numeric"], "late", "probability"]
    assert reference["late"].to_pylist() == read_table(sample)["late"].to_pylist()
    columns = packaging.columns_of(reference, [*MODEL["categorical"], *MODEL["numeric"]])
    predicted = ModelPackage.open(exported[0]).predict(columns)["probability"]
    assert np.array_equal(predicted, reference["probability"].to_numpy())


def test_mlflow_reads_the_package(exported: tuple[Path, Export]) -> None:
    """It is an MLflow model of the ONNX flavour, with a signature and an input example of the graph."""
    import mlflow.onnx
    from mlflow.models import Model

    model = Model.load(str(exported[0]))
    assert [entry.name for entry in model.signature.inputs] == ["numeric", "categorical"]
    assert model.signature.outputs.input_names() == ["probability"]
    assert isinstance(mlflow.onnx.load_model(str(exported[0])), onnx.ModelProto)
    example: Any = model.load_input_example(str(exported[0]))
    assert len(example["numeric"]) == len(example["categorical"]) == 2


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # MLflow warns of its own while it is imported
def test_mlflow_serves_the_package(exported: tuple[Path, Export]) -> None:
    """As a Python function it takes its own input example, and predicts what the package does."""
    import mlflow.pyfunc
    from mlflow.models import Model

    example: Any = Model.load(str(exported[0])).load_input_example(str(exported[0]))
    given = {"numeric": np.float32(example["numeric"]), "categorical": np.int64(example["categorical"])}
    served = mlflow.pyfunc.load_model(str(exported[0])).predict(given)["probability"]
    assert np.array_equal(served, ModelPackage.open(exported[0]).load().run(None, given)[0])


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_an_input_without_columns_is_absent(sample: Path, tmp_path: Path, kind: str) -> None:
    """A model of numbers only, or of categories only, has one input tensor."""
    model = ModelSpec.parse({kind: MODEL[kind]}, "model")
    random_checkpoint(sample, model, hidden=[]).write(tmp_path / "checkpoint")
    run(tmp_path / "checkpoint", sample, tmp_path / "package")
    assert [entry.name for entry in ModelPackage.open(tmp_path / "package").load().get_inputs()] == [kind]


def test_a_graph_that_differs_is_refused(
    checkpoint: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If ONNX Runtime does not predict what torch does, there is no package at all."""
    honest = TorchGraph.predict
    monkeypatch.setattr(
        TorchGraph, "predict", lambda *given: {"probability": honest(*given)["probability"] + np.float32(1e-4)}
    )
    with pytest.raises(PackageError, match=r"differs by 0\.0001 between ONNX Runtime and torch"):
        run(checkpoint, sample, tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "a/b"}, "letters, digits"),
        ({"label": "delayed"}, "trained to predict 'late'"),
        ({"request": {"field": {}}}, "did you mean 'fields'"),
    ],
)
def test_wrong_parameters_are_refused(
    checkpoint: Path, sample: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """A name that cannot be in a URL, another label or a wrong request is refused."""
    with pytest.raises(ConfigurationError, match=words):
        run(checkpoint, sample, tmp_path / "package", **changes)


def test_an_absent_checkpoint_is_named(sample: Path, tmp_path: Path) -> None:
    """A folder without a checkpoint is an error of its own."""
    with pytest.raises(SourceError, match="run train_model"):
        run(tmp_path, sample, tmp_path / "package")


def test_the_contract_fills_the_artifact(checkpoint: Path, sample: Path, tmp_path: Path) -> None:
    """The component calls the task and leaves the digest in the metadata."""
    from fairlead.optimization.export_model.component import export_model

    logged: dict[str, float] = {}
    package = SimpleNamespace(path=str(tmp_path / "package"), metadata={})
    export_model.python_func(
        checkpoint=SimpleNamespace(path=str(checkpoint)), sample=SimpleNamespace(path=str(sample)), package=package,
        metrics=SimpleNamespace(log_metric=logged.__setitem__), name="tiny", label="late",
    )  # fmt: skip
    assert ModelPackage.open(package.path, package.metadata["digest"]).manifest.request is None
    assert logged["compared_rows"] == 600

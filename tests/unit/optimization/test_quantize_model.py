"""quantize_model keeps INT8 only where it is faster and no worse."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from fairlead.errors import ConfigurationError, PackageError
from fairlead.optimization import packaging
from fairlead.optimization.export_model.task import export
from fairlead.optimization.quantize_model import task
from fairlead.optimization.quantize_model.comparison import Comparison, Quality, choose
from fairlead_serving.package import ModelPackage

EVEN = Quality("log_loss", 0.5, 0.8)
EQUAL = Comparison({1: 1.0, 64: 1.0}, {1: 1.0, 64: 1.0}, EVEN, EVEN, 0.01, 1000, 300)


@pytest.fixture(scope="module")
def package(checkpoint: Path, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float package."""
    path = tmp_path_factory.mktemp("package") / "package"
    export(checkpoint, sample, path, name="tiny", label="late", request={}, feature_service="")
    return path


def run(package: Path, sample: Path, out: Path, **changes: Any) -> task.Quantization:
    """Quantizes with some parameters changed."""
    given = {"label": "late", "tolerance": 0.002, **changes}
    return task.quantize(package, sample, out / "chosen", out / "report.html", **given)


@pytest.mark.parametrize(
    ("changes", "kept", "words"),
    [
        ({}, "fp32", "does not pay"),
        ({"int8_seconds": {1: 0.5, 64: 0.5}}, "int8", "2.00 times as fast at batch 1"),
        ({"int8_seconds": {1: 0.5, 64: 1.2}}, "fp32", "does not pay"),
        ({"int8_seconds": {1: 0.98, 64: 0.98}}, "fp32", "does not pay"),
        (
            {"int8_seconds": {1: 0.5, 64: 0.5}, "int8_quality": Quality("log_loss", 0.51)},
            "fp32",
            "0.0100 nats higher, 0.002 is allowed",
        ),
        ({"int8_seconds": {1: 0.5, 64: 0.5}, "int8_quality": Quality("log_loss", 0.4)}, "int8", "-0.10000"),
        ({"int8_seconds": {1: 0.5, 64: 0.5}, "int8_quality": Quality("log_loss", float("nan"))}, "fp32", "nan"),
    ],
)
def test_the_choice(changes: dict[str, Any], kept: str, words: str) -> None:
    """Never slower, clearly faster somewhere, and no worse than the tolerance: all three, or float is kept."""
    decision, reason = choose(replace(EQUAL, **changes), 0.002)
    assert decision == kept
    assert words in reason


def test_what_does_not_pay_is_a_copy(
    package: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The float package passes on with its digest, and the page says why, with figures."""
    monkeypatch.setattr(task, "choose", lambda *_: ("fp32", "INT8 does not pay here."))
    done = run(package, sample, tmp_path)
    assert done.digest == ModelPackage.open(package).digest
    assert done.metrics["int8_kept"] == 0
    assert done.metrics["int8_seconds_batch_64"] > 0
    assert "INT8 does not pay here." in (tmp_path / "report.html").read_text()


def test_what_pays_is_a_whole_package(
    package: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The INT8 package opens, predicts nearly the same, knows its origin, and its reference sample is its own."""
    monkeypatch.setattr(task, "choose", lambda *_: ("int8", "INT8 is faster."))
    done = run(package, sample, tmp_path)
    before, after = ModelPackage.open(package), ModelPackage.open(tmp_path / "chosen", done.digest)
    assert after.digest != before.digest
    assert after.manifest == before.manifest
    types = {node.op_type for node in onnx.load(str(tmp_path / "chosen" / "model.onnx")).graph.node}
    assert types >= {"QuantizeLinear", "DequantizeLinear"}
    assert packaging.read_lineage(after.path)["quantized_from"] == before.digest
    ours, theirs = (packaging.read_reference(p.path)["probability"].to_numpy() for p in (before, after))
    assert 0 < np.abs(ours - theirs).max() < 0.1
    assert done.metrics["largest_difference"] == pytest.approx(np.abs(ours - theirs).max(), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tolerance": -0.1}, "0 or more"),
        ({"tolerance": float("nan")}, "0 or more"),
        ({"label": "x"}, "predicts 'late'"),
    ],
)
def test_wrong_parameters_are_refused(
    package: Path, sample: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """A negative tolerance or another label is refused."""
    with pytest.raises(ConfigurationError, match=words):
        run(package, sample, tmp_path, **changes)


def test_no_package_is_an_error(sample: Path, tmp_path: Path) -> None:
    """An empty folder is no package."""
    with pytest.raises(PackageError, match="no model package"):
        run(tmp_path, sample, tmp_path)


def test_the_contract_fills_the_artifact(package: Path, sample: Path, tmp_path: Path) -> None:
    """The component calls the task; the digest is the chosen package's."""
    from fairlead.optimization.quantize_model.component import quantize_model

    logged: dict[str, float] = {}
    chosen = SimpleNamespace(path=str(tmp_path / "chosen"), metadata={})
    quantize_model.python_func(
        package=SimpleNamespace(path=str(package), metadata={"name": "tiny"}), sample=SimpleNamespace(path=str(sample)),
        label="late", chosen=chosen, metrics=SimpleNamespace(log_metric=logged.__setitem__),
        report=SimpleNamespace(path=str(tmp_path / "report.html")),
    )  # fmt: skip
    assert ModelPackage.open(chosen.path, chosen.metadata["digest"])
    assert chosen.metadata["name"] == "tiny"
    assert chosen.metadata["precision"] == ("int8" if logged["int8_kept"] else "fp32")

"""Model packages: identity, encoding, prediction."""

import json
from pathlib import Path

import numpy as np
import pytest
from models import tiny_package

from fairlead_serving.package import (
    InputInvalidError,
    Manifest,
    ModelInput,
    ModelPackage,
    PackageInvalidError,
    package_digest,
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package on disk."""
    tiny_package(tmp_path / "p")
    return tmp_path / "p"


def columns(opened: ModelPackage, rows: int = 3) -> dict[str, list[object]]:
    """Rows that fit a package."""
    return {i.name: ([1.5] * rows if i.kind == "numeric" else ["?"] * rows) for i in opened.manifest.inputs}


def test_the_identity_is_the_content(package: Path) -> None:
    """Another byte in any file is another digest, and a package with another digest than expected is refused."""
    digest = package_digest(package)
    assert ModelPackage.open(package, digest).digest == digest
    lineage = package / "fairlead" / "note.txt"
    lineage.write_text("x")
    assert package_digest(package) != digest
    with pytest.raises(PackageInvalidError, match="it was changed"):
        ModelPackage.open(package, digest)


def test_it_predicts_probabilities(package: Path) -> None:
    """One probability per row, also for missing and unknown values."""
    opened = ModelPackage.open(package)
    values = columns(opened)
    for name in values:
        values[name][0] = None
    predicted = opened.predict(values)["probability"]
    assert predicted.shape == (3,)
    assert np.all((predicted >= 0) & (predicted <= 1))


def test_columns_that_do_not_fit_are_refused(package: Path) -> None:
    """Absent columns, unequal lengths, texts for numbers and nested values are named."""
    opened = ModelPackage.open(package)
    first = opened.manifest.numeric[0].name
    with pytest.raises(InputInvalidError, match=f"missing inputs: .*{first}"):
        opened.predict({})
    with pytest.raises(InputInvalidError, match="different lengths"):
        opened.predict({**columns(opened), first: [1.0]})
    with pytest.raises(InputInvalidError, match="must be numbers"):
        opened.predict({**columns(opened), first: ["a", "b", "c"]})
    with pytest.raises(InputInvalidError, match="one value per row"):
        opened.predict({**columns(opened), first: [[1.0], [2.0], [3.0]]})


def test_a_broken_package_is_refused(package: Path, tmp_path: Path) -> None:
    """No folder, no manifest, another format or no model: each is told."""
    with pytest.raises(PackageInvalidError, match="no model package"):
        ModelPackage.open(tmp_path / "nothing")
    manifest = package / "fairlead" / "package.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "format": 9}))
    with pytest.raises(PackageInvalidError, match="format 9"):
        ModelPackage.open(package)
    manifest.write_text("{")
    with pytest.raises(PackageInvalidError, match="cannot be read"):
        ModelPackage.open(package)
    manifest.write_text(json.dumps(content))
    (package / "model.onnx").unlink()
    with pytest.raises(PackageInvalidError, match=r"no model\.onnx"):
        ModelPackage.open(package)


def test_the_manifest_survives_json() -> None:
    """package.json holds everything of a manifest."""
    inputs = (ModelInput("a", "numeric"), ModelInput("b", "categorical", ("x", "y")))
    manifest = Manifest("m", "binary", "late", inputs, 0.4, request={"fields": {"a": "float64"}})
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest

"""check_behaviour: minimum functionality, invariance and direction, for pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linear_models import linear_package

from fairlead.errors import ConfigurationError
from fairlead.evaluation.check_behaviour.task import check_behaviour
from fairlead.evaluation.judgement import Judgement
from fairlead.verdicts import Verdict
from fairlead_serving.images import write_png

SIDE = 6

Check = Callable[..., Judgement]
Write = Callable[..., Path]


@pytest.fixture
def pictures(tmp_path: Path, write_rows: Write) -> tuple[Path, Path]:
    """A model that compares the upper half of a picture with the lower one, and pictures which it reads rightly."""
    ramp = np.repeat([1.0, -1.0], SIDE * SIDE // 2)[:, None]
    weights = np.concatenate([ramp, -ramp], axis=1)
    model = linear_package(
        tmp_path / "m", weights, task="multiclass", label="half", image=(SIDE, SIDE, 1), classes=["above", "below"]
    )
    rng = np.random.default_rng(1)
    images, labels = rng.integers(0, 60, (120, SIDE, SIDE)), rng.integers(0, 2, 120)
    for image, label in zip(images, labels, strict=True):
        image[SIDE // 2 * label : SIDE // 2 * (label + 1)] += 100
    files = [write_png(image.astype(np.uint8)) for image in images]
    return model, write_rows("pictures", {"image": files, "half": np.array(["above", "below"])[labels]})


@pytest.fixture
def check(tmp_path: Path, pictures: tuple[Path, Path]) -> Check:
    """Run tests of that model into this test's folder."""

    def run(*tests: dict[str, Any]) -> Judgement:
        named = [{"name": f"test {n}", **test} for n, test in enumerate(tests)]
        model, rows = pictures
        spec = {"tests": named, "examples": 3}
        return check_behaviour(model, rows, "half", spec, tmp_path / "v.json", tmp_path / "r.html")

    return run


def invariance(change: Any, **given: Any) -> dict[str, Any]:
    """A test of kind invariance."""
    return {"kind": "invariance", "change": {"column": "image", **change}, **given}


def directional(change: Any, direction: str, **given: Any) -> dict[str, Any]:
    """A test of kind directional."""
    return {"kind": "directional", "change": {"column": "image", **change}, "direction": direction, **given}


def minimum(expect: Any, **given: Any) -> dict[str, Any]:
    """A test of kind minimum-functionality."""
    return {"kind": "minimum-functionality", "expect": expect, **given}


def test_pictures_are_changed(check: Check, tmp_path: Path) -> None:
    """What the model ignores passes; what turns its world upside down fails, with pictures before and after."""
    done = check(
        invariance({"shift": [1, 0]}),
        invariance({"shift": [[1, 0], [-1, 0]]}),
        invariance({"brightness": [0.8, 1.2]}),
        invariance({"noise": 10}, tolerance=0.2),
        invariance({"blur": 0.5}),
        invariance({"crop": 1}),
        invariance({"rotate": 5}),
        minimum({"answer": "label"}),
        minimum({"not_answer": "label"}, change={"column": "image", "invert": True}),
        minimum({"at_least": 0.9}, of="answer"),
        directional({"brightness": [0.8, 0.5, 0.2]}, "down"),
    )
    assert done.outcome == "approved", Verdict.read(tmp_path / "v.json").reasons
    turned = check(invariance({"rotate": 180}))
    assert turned.outcome == "rejected"
    assert turned.metrics["failures_test_0"] == 1
    report = (tmp_path / "r.html").read_text()
    assert report.count('<img src="data:image/png;base64,') == 2 * 3
    assert "(1.000)" in report


def test_a_class_can_be_watched(check: Check) -> None:
    """The probability of a named class moves as the picture does."""
    change = {"shift": [0, 2], "fill": 0}
    done = check(directional(change, "down", of="above", where={"half": "above"}))
    assert done.outcome == "approved"


def test_what_does_not_fit_is_named(check: Check) -> None:
    """Classes that there are not, and pictures written by hand."""
    with pytest.raises(ConfigurationError, match="`of: left` is no class"):
        check(minimum({"at_least": 0.5}, of="left"))
    with pytest.raises(ConfigurationError, match="expects 'left', which is none of above, below"):
        check(minimum({"answer": "left"}))
    with pytest.raises(ConfigurationError, match="pictures cannot be written into YAML"):
        check(minimum({"answer": "above"}, rows=[{"half": "above"}]))

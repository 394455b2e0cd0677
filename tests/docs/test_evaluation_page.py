"""docs/evaluation.md is followed to the letter."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from models import BIAS, CATEGORICAL, NUMERIC, tiny_package, tiny_rows

from fairlead.datasets import write_dataset
from fairlead.evaluation.behaviour_spec import BehaviourSpec
from fairlead.evaluation.comparison_spec import ComparisonSpec
from fairlead.evaluation.figure_names import TASK_BASELINES
from fairlead.evaluation.serving_spec import LoadSpec, ServerSpec
from fairlead.evaluation.slice_spec import SliceSpec
from fairlead.evaluation.spec import EvaluationSpec
from fairlead.optimization.calibration_spec import CalibrationSpec
from fairlead.problem import Problem
from fairlead.sections import Section
from fairlead.verdicts import Verdict, require
from fairlead_serving.package import package_digest

SECTIONS: dict[str, type[Section]] = {
    "calibration.yaml": CalibrationSpec,
    "evaluation.yaml": EvaluationSpec,
    "texts.yaml": EvaluationSpec,
    "slices.yaml": SliceSpec,
    "behaviour.yaml": BehaviourSpec,
    "comparison.yaml": ComparisonSpec,
    "server.yaml": ServerSpec,
    "load.yaml": LoadSpec,
}
BLOCK = re.compile(r"^```(yaml \S+|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SURE = 3.0  # how many times too sure the package is


@pytest.fixture
def page(repository: Path) -> str:
    """The page's text."""
    return (repository / "docs" / "evaluation.md").read_text()


def write(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns as a dataset."""
    table = pa.table(dict(columns))
    write_dataset(path, [table], table.schema, name=path.name, source="drawn")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the page says: a package, which is too sure, and rows of 80 days."""
    tiny_package(
        tmp_path / "package",
        numeric={name: SURE * weight for name, weight in NUMERIC.items()},
        categorical={n: {v: SURE * w for v, w in weights.items()} for n, weights in CATEGORICAL.items()},
        bias=SURE * BIAS,
    )
    for seed, name in enumerate(("test", "validation", "train"), 1):
        write(tmp_path / name, {**tiny_rows(4000, seed=seed), "day": np.arange(4000) % 80})
    return tmp_path


_JUDGES = ["evaluation", "slices", "behaviour", "comparison"]  # the server's depends on what else this machine does


def test_the_blocks_run_in_order(page: str, folder: Path) -> None:
    """The calibration helps, each judge approves the calibrated package, and the verdicts satisfy a policy."""
    code = []
    for kind, content in BLOCK.findall(page):
        if kind == "python":
            code.append(content)
        else:
            (folder / kind.removeprefix("yaml ")).write_text(content)
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.startswith("temperature The temperature")
    verdicts = [Verdict.read(folder / f"{name}.json") for name in _JUDGES]
    require(verdicts, _JUDGES, package_digest(folder / "calibrated"))
    assert Verdict.read(folder / "server.json").model_digest == package_digest(folder / "calibrated")
    texts = Verdict.read(folder / "texts.json")
    assert (texts.outcome, texts.model_digest) == ("approved", package_digest(folder / "package"))


def test_the_page_names_what_there_is(page: str) -> None:
    """Every task with all of its baselines, and every yaml block is a section that parses."""
    for task, baselines in TASK_BASELINES.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {task} |"))
        assert all(name.replace("-", " ") in row for name in baselines), task
    found = {kind.removeprefix("yaml "): content for kind, content in BLOCK.findall(page) if kind != "python"}
    assert set(SECTIONS) == set(found)
    for name, section in SECTIONS.items():
        section.parse(yaml.safe_load(found[name]), name)


def test_the_other_yaml_blocks_are_sections_of_a_problem(page: str) -> None:
    """Each parses as what a problem's YAML may hold."""
    plain = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(plain) >= 3
    for content in plain:
        Problem.parse({"name": "page", **yaml.safe_load(content)}, "problem")


def test_links_within_the_page_lead_somewhere(page: str) -> None:
    """Every anchor is a heading of the page."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= anchors

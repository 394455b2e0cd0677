"""The same components on pictures: one command from a table of pixels to a model that reads a PNG."""

import base64
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from commands import Command

from fairlead.datasets import read_table

pytestmark = pytest.mark.slow  # by default flights alone goes the whole way, through the same components
SMALL = (
    "augmentation.copies=1",
    "train.epochs=3",
    "evaluation.baselines=[majority]",
    "evaluation.gates=[{metric: accuracy, at_least: 0.8}]",
    "policy.registration=[evaluation, server]",
    "policy.deployment=[evaluation, server]",
)


@pytest.fixture(scope="module")
def told(fairlead: Command) -> str:
    """What the command says at the end of a short run."""
    ended = fairlead("run", "digits", *SMALL)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def pictures(told: str, fairlead: Command) -> list[tuple[bytes, int]]:
    """Some test pictures with the digits that they show."""
    assert told
    [test] = (fairlead.folder / ".fairlead" / "runs" / "digits").glob("*/artifacts/**/test/dataset.json")
    rows = read_table(test.parent).slice(0, 200).to_pylist()
    return [(row["image"], row["digit"]) for row in rows[::10]]


def endpoint(told: str) -> str:
    """The address that the command prints in its curl line."""
    [line] = [line for line in told.splitlines() if line.startswith("curl ")]
    return line.split()[2].strip("'")


def post(address: str, content: Any) -> Any:
    """Ask the served model."""
    return httpx.post(address, json=content, timeout=30, trust_env=False).raise_for_status().json()


def test_the_curl_line_works_as_pasted(told: str) -> None:
    """A picture goes in as base64 in JSON; a digit and its probabilities come out."""
    [line] = [line for line in told.splitlines() if line.startswith("curl ")]
    answer = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True, timeout=30)
    [prediction] = json.loads(answer.stdout)["predictions"]
    assert len(prediction["probability"]) == 10
    assert prediction["digit"] in {str(n) for n in range(10)}


def test_png_files_are_read_over_v1_and_v2(told: str, pictures: list[tuple[bytes, int]]) -> None:
    """Most are read rightly, and both protocols say the same."""
    files = [base64.b64encode(content).decode() for content, _ in pictures]
    v1 = post(endpoint(told), {"instances": [{"image": {"b64": file}} for file in files]})
    tensor = {"name": "image", "shape": [len(files)], "datatype": "BYTES", "data": files}
    infer = endpoint(told).replace("/v1/", "/v2/").replace(":predict", "/infer")
    outputs = {output["name"]: output for output in post(infer, {"inputs": [tensor]})["outputs"]}
    said = [prediction["digit"] for prediction in v1["predictions"]]
    assert outputs["digit"]["data"] == said
    assert outputs["probability"]["shape"] == [len(files), 10]
    assert sum(int(digit) == true for digit, (_, true) in zip(said, pictures, strict=True)) >= 0.7 * len(files)


def test_the_report_shows_pictures_and_every_judge(told: str) -> None:
    """Copies beside originals, the surest mistakes, and a verdict of each judge."""
    [line] = [line for line in told.splitlines() if line.startswith("report: ")]
    page = Path(line.removeprefix("report: ")).read_text()
    assert page.count("data:image/png;base64,") > 10
    assert "<script" not in page
    for judge in ("evaluation", "slices", "behaviour", "comparison", "server", "load", "canary"):
        assert judge in page

"""docs/predictions.md is followed to the letter, in order, with a real server."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fairlead.features.spec import FreshnessSpec
from fairlead_serving.log_schema import LogSchema

BLOCK = re.compile(r"^```(\w+)(?: \w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def page(repository: Path) -> str:
    """The page's text."""
    return (repository / "docs" / "predictions.md").read_text()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a reader; what they left running is ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    yield {**os.environ, "PATH": path, "PORT": str(port), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore",
           "FAIRLEAD_HOME": str(tmp_path / ".fairlead")}  # fmt: skip
    pid = tmp_path / "pid"
    if pid.exists():
        os.kill(int(pid.read_text()), 9)


def run(kind: str, content: str, folder: Path, shell: dict[str, str]) -> str:
    """Run a block as its reader would."""
    if kind == "sql":
        kind, content = "python", f"import duckdb\nprint(duckdb.sql({content!r}).fetchall())"
    if kind == "bash":
        content = content.replace("&\nuntil", "2> server.log & echo $! > pid\nuntil")
    command = [sys.executable, "-c", content] if kind == "python" else ["bash", "-euo", "pipefail", "-c", content]
    with (folder / "output").open("w+") as output:
        code = subprocess.run(
            command, cwd=folder, env=shell, stdout=output, stderr=subprocess.STDOUT, timeout=180, check=False
        ).returncode
        output.seek(0)
        text = output.read()
    assert code == 0, (content, text)
    return text


def test_a_stranger_can_follow_it(page: str, tmp_path: Path, shell: dict[str, str]) -> None:
    """Every block succeeds in order; the SQL once the server has stopped and another has made Parquet of its log."""
    blocks = [(kind, content) for kind, content in BLOCK.findall(page) if kind in ("bash", "python", "sql")]
    said = [run(kind, content, tmp_path, shell) for kind, content in blocks if kind != "sql"]
    assert (tmp_path / "why.html").stat().st_size > 2000
    text = "\n".join(said)
    for expected in (
        "'request_id': 'flight-1'", "2 outcomes are in the log of late; 1 are", "flight-1", "feature",
        "no prediction log has a request 'flight-77'", '"contributions"', '"standard_errors"',
    ):  # fmt: skip
        assert expected in text, expected
    files = ".fairlead/predictions/late/predictions/*/*.parquet"
    stop = f'kill "$(cat pid)"; rm pid; for i in $(seq 100); do sleep 0.2; ls {files} && break; done'
    run("bash", stop, tmp_path, shell)
    found = run("sql", next(content for kind, content in blocks if kind == "sql"), tmp_path, shell)
    assert ", 2, 0." in found


def test_the_table_of_columns_is_the_schema(page: str) -> None:
    """Each fixed column of the schema stands in the page's table, and no other."""
    cells = re.findall(
        r"^\| ([^|]+) \|[^|]+\|[^|]+\|$", page.split("### Columns")[1].split("###", maxsplit=1)[0], re.MULTILINE
    )
    told = {name for cell in cells[1:] for name in re.split(r", | or ", cell) if not name.startswith("-")}
    schema = LogSchema("predictions", features={"X": "number"}, views={"v": ["X"]}, decision="bool")
    assert told - {"prediction", "score"} == set(schema.table.names)


def test_the_freshness_is_one(page: str) -> None:
    """The YAML parses as the section of a problem, and names every key."""
    content = yaml.safe_load(re.search(r"^```yaml freshness\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1])  # type: ignore[index]
    FreshnessSpec.parse(content["freshness"], "freshness")
    assert set(content["freshness"]) == set(FreshnessSpec.model_fields)

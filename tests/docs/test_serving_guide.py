"""docs/serving.md is followed to the letter, in one shell, with a real server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from linear_models import linear_package
from models import tiny_package
from serving_process import free_port

from fairlead_serving import errors
from fairlead_serving.__main__ import _parser
from fairlead_serving.handlers import Limits

BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def page(repository: Path) -> str:
    """The page's text."""
    return (repository / "docs" / "serving.md").read_text()


def script_of(page: str) -> str:
    """All blocks as one script; Python ones as programs of their own."""
    parts = ["set -euo pipefail", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    for kind, content in BLOCK.findall(page):
        plain = content.replace("json &\n", "json 2> server.log &\n")
        parts.append(plain if kind == "bash" else f"python - <<'END'\n{content}END")
    return "\n".join(parts)


def test_the_blocks_run_in_order(page: str, tmp_path: Path) -> None:
    """Each command succeeds and says what the page says; the server stops with status 0."""
    tiny_package(tmp_path / "flights")
    linear_package(tmp_path / "packages" / "line", [[2.0]], task="regression", numeric=["x"])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "PORT": str(free_port()),
        "GRPC_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
    }
    ended = subprocess.run(
        ["bash", "-c", script_of(page)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for expected in (
        '"predictions":[{"probability":', '"id":"flight-2"', "probabilities (0.", "over gRPC [0.", '"platform"',
        '{"status":"accepted"}', '{"predictions":[{"prediction":3.0}]}', '"name":"line","version"',
        "did you mean 'hour'",
        'mode="loop"', 'protocol="v1"', "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ):  # fmt: skip
        assert expected in ended.stdout, expected
    assert '"message":"stopped"' in (tmp_path / "server.log").read_text()


def test_the_page_names_the_limits_and_errors_that_there_are(page: str) -> None:
    """Every option it names exists, every default is the real one, and every gRPC code of an error is in its table."""
    known = {option for action in _parser()._actions for option in action.option_strings}
    told = set(re.findall(r"`(--[a-z-]+)", page)) | set(
        re.findall(r"^\s.*?(--(?:port|grpc-port|predictions))", page, re.MULTILINE)
    )
    assert told <= known, told - known
    limits = Limits()
    assert f"({limits.queue})" in page
    assert f"({limits.connections})" in page
    assert f"({limits.rows:,})" in page
    found = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.ServingError)
    ]
    for error in found:
        if error.status != 500:
            assert str(error.status) in page, error
            assert error.grpc_code in page or error.status in (408, 415), error

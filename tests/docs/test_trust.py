"""docs/trust.md is followed to the letter."""

import os
import re
import subprocess
import sys
from pathlib import Path

from models import tiny_package

from fairlead.registry.spec import JUDGES, PolicySpec

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_commands_do_what_the_page_says(repository: Path, tmp_path: Path) -> None:
    """Every block ends well in one shell; each change is refused, each whole model verified, no private key shown."""
    tiny_package(tmp_path / "handover" / "package")
    script = "\n".join(BLOCK.findall((repository / "docs" / "trust.md").read_text()))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-eu", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    said = ended.stdout
    assert ended.returncode == 0, said + ended.stderr
    assert said.count("refused, as it should be") == said.count("Refused.") == 4
    assert said.count("Verified:") == 4
    assert "the signature fits" in said
    secret = (tmp_path / "keys" / "ci.pem").read_text().splitlines()[1]
    assert secret not in said + ended.stderr


def test_the_page_names_what_there_is(repository: Path) -> None:
    """Every key of a policy and every judge, and no other."""
    text = (repository / "docs" / "trust.md").read_text()
    table = text.split("## A policy in full")[1].split("## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(PolicySpec.model_fields)
    assert ", ".join(JUDGES) in table

"""The README's commands are executed, so that a stranger's first minutes are what the tests have seen."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What takes minutes or serves on is not run again here: CI runs the demo and the tests themselves.
HEAVY = {"run", "demo", "up", "replay", "report", "promote", "rollback", "watch"}


def commands() -> list[str]:
    """Every command of the README's sh blocks: comments dropped, continued lines joined."""
    text = "\n".join(BLOCK.findall(README.read_text(encoding="utf-8"))).replace("\\\n", " ")
    lines = [re.sub(r"\s+#.*$", "", line).strip() for line in text.splitlines()]
    return [part.strip() for line in lines if line and not line.startswith("#") for part in line.split("&&")]


def words(command: str) -> list[str]:
    """A command's words, with the program's name without its folder."""
    program, *rest = shlex.split(command)
    return [Path(program).name, *rest]


def is_make(command: str) -> bool:
    """Whether a command is a call of make."""
    return words(command)[0] == "make"


def is_light(command: str) -> bool:
    """Whether a command is one of fairlead's that ends within seconds and leaves nothing behind."""
    program, *rest = words(command)
    return program == "fairlead" and bool(rest) and rest[0] not in HEAVY


def test_readme_shows_the_two_commands() -> None:
    """The demo and the tests are there as a stranger will paste them."""
    assert {"make demo", "make test"} <= set(commands())


@pytest.mark.parametrize("command", [command for command in commands() if is_make(command)])
def test_make_target_exists(command: str) -> None:
    """Each make command of the README names a target that the Makefile documents and can plan."""
    _, *targets = words(command)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:.*## ", makefile, re.MULTILINE), command
    subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("command", [command for command in commands() if is_light(command)])
def test_light_command_works(command: str, own_state: Path, tmp_path: Path) -> None:
    """Each command of the README that only looks or compiles ends well, on a state folder of its own."""
    _, *arguments = words(command)
    if arguments[0] == "compile" and "--output" not in arguments:
        arguments += ["--output", str(tmp_path)]  # else it would write the golden files that other tests compare
    code = "import sys; from fairlead_pipelines.command.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "FAIRLEAD_HOME": str(own_state)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("command", [command for command in commands() if words(command)[0] == "fairlead"])
def test_fairlead_command_exists(command: str) -> None:
    """Each fairlead command of the README, light or heavy, is one that the program has."""
    from fairlead_pipelines.command.main import COMMANDS

    _, name, *_ = [*words(command), ""]
    assert name.startswith("-") or name in COMMANDS, command


def test_links_lead_somewhere() -> None:
    """Each relative link of the README and of docs/ names a file of the tree."""
    for page in [README, *(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"

"""The command's frame: fast help, every subcommand documented, errors shown plainly."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fairlead.errors import StateError
from fairlead_pipelines.command.main import COMMANDS, main

HEAVY = ("kfp", "pydantic", "rich", "yaml", "matplotlib", "pyarrow", "httpx", "mlflow", "torch")


def test_help_imports_no_heavy_library() -> None:
    """`fairlead --help` must answer at once, so it may import neither kfp nor pydantic nor rich."""
    code = (
        "import sys\nfrom fairlead_pipelines.command.main import main\n"
        f"main(['--help'], standalone_mode=False)\nprint(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_explains_itself_with_an_example(name: str) -> None:
    """Where there is something to type, the help shows a command line that one can paste."""
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    command = main.get_command(click.Context(main), name)
    takes_nothing = command is not None and not command.params
    assert takes_nothing or ("Example" in result.output and f"fairlead {name}" in result.output)


def test_a_wrong_command_gets_the_nearest_right_one() -> None:
    """The error names what was probably meant, and ends with click's status for wrong usage."""
    result = CliRunner().invoke(main, ["statsu"])
    assert result.exit_code == 2
    assert "did you mean 'status'" in result.output


def test_errors_are_shown_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of fairlead ends with status 1 and its message; with --debug it comes with its traceback."""
    monkeypatch.setenv("FAIRLEAD_HOME", str(tmp_path))
    plain = CliRunner().invoke(main, ["report"])
    assert plain.exit_code == 1
    assert plain.output.startswith("error: ")
    assert "Traceback" not in plain.output
    assert isinstance(CliRunner().invoke(main, ["--debug", "report"]).exception, StateError)


def test_a_missing_package_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an extra is not installed, the command says so and names the doctor."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    result = CliRunner().invoke(main, ["components"])
    assert result.exit_code == 1
    assert "fairlead doctor" in result.output


def test_the_subcommands_are_click_commands() -> None:
    """The group gives None for a name that is not its own, as click expects."""
    context = click.Context(main)
    assert isinstance(main.get_command(context, "report"), click.Command)
    assert main.get_command(context, "nothing") is None

"""`fairlead doctor`: each thing that can be missing is found, and its remedy is a command."""

import fcntl
import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairlead.settings import settings
from fairlead_pipelines.command import checks, doctor
from fairlead_pipelines.command.main import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a test a state folder of its own, and a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("FAIRLEAD_SERVING_PORT", str(probe.getsockname()[1]))
    monkeypatch.setenv("FAIRLEAD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_good_machine_is_good(home: Path) -> None:
    """Nothing is missing where the tests run, and looking makes no folder."""
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    assert {check["name"] for check in json.loads(result.output)} >= {
        "Python",
        "packages",
        "Envoy",
        "disk space",
        "port",
    }
    assert not home.exists()


def test_what_is_bad_ends_with_status_1_and_a_remedy(home: Path) -> None:
    """A corrupt platform state: a cross, the remedy below it, status 1."""
    (home / "platform").mkdir(parents=True)
    (home / "platform" / "state.json").write_text("{")
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "✗ platform" in result.output
    assert "→ mv " in result.output


def test_missing_packages_are_named_with_their_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy installs what the extra demands, quoted for the shell."""
    real = checks._installed
    monkeypatch.setattr(checks, "_installed", lambda name: name not in {"feast", "torch"} and real(name))
    check = checks.check_packages("laptop")
    assert (check.state, check.finding.split(": ")[1]) == ("bad", "feast, torch")
    assert "'feast[" in check.mend


def test_the_base_needs_no_extra() -> None:
    """The requirements without a marker are those of composing pipelines."""
    assert set(checks.requirements("")) >= {"kfp", "click"}
    assert "torch" not in checks.requirements("")


def test_a_file_in_the_folders_place_is_found(tmp_path: Path) -> None:
    """A state folder that cannot be made is found without making it."""
    (tmp_path / "file").touch()
    assert checks.check_folder(tmp_path / "file" / "home").state == "bad"
    assert checks.check_folder(tmp_path / "new" / "home").state == "good"
    assert not (tmp_path / "new").exists()


def test_a_corrupt_database_is_found(home: Path) -> None:
    """A registry that is no SQLite file is named; a sound one is not mentioned."""
    (home / "registry").mkdir(parents=True)
    (home / "registry" / "mlflow.db").write_bytes(b"not a database, whatever its name says" * 40)
    (home / "features" / "flights").mkdir(parents=True)
    sqlite3.connect(home / "features" / "flights" / "online.db").close()
    found = list(checks.check_databases(settings()))
    assert [(check.name, check.state) for check in found] == [("mlflow.db", "bad")]
    assert found[0].mend.startswith("mv ")


def test_locks_are_told_apart(home: Path) -> None:
    """A lock file alone is nothing; held by a live owner it is a run; held for a dead owner it is a leftover."""
    lock = home / "runs" / "flights" / "lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(str(os.getpid()))
    assert list(checks.check_locks(home)) == []
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (running,) = checks.check_locks(home)
        with subprocess.Popen([sys.executable, "-c", ""]) as child:
            child.wait()
        lock.write_text(str(child.pid))
        (left,) = checks.check_locks(home)
    assert (running.state, left.state) == ("warn", "bad")
    assert str(os.getpid()) in running.finding


def test_a_taken_port_gets_a_free_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy names a port on which nobody listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setenv("FAIRLEAD_SERVING_PORT", str(taken))
        check = list(doctor.check_platform(settings()))[-1]
    assert (check.name, check.state) == ("port", "bad")
    assert int(check.mend.split("=")[1]) > taken


def test_sources_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages, files in them, paths and globs are looked for; an address is not asked."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").touch()
    tables = {
        "absent": {"source": "pkg:nosuchpackage/x.csv"}, "inner": {"source": "pkg:click/nosuch.csv"},
        "there": {"source": "pkg:click/core.py"}, "file": {"source": "a.csv"},
        "glob": {"source": str(tmp_path / "*.csv")}, "gone": {"source": "b*.csv"},
        "far": {"source": "s3://bucket/key"}, "later": {"source": ""},
    }  # fmt: skip
    states = {check.name.split()[1]: check.state for check in doctor.check_data(tables, tmp_path / "problem.yaml")}
    bad = {name for name, state in states.items() if state == "bad"}
    assert bad == {"absent", "inner", "gone"}


def test_a_pipeline_that_is_not_there_is_a_finding(home: Path) -> None:
    """A wrong pipeline name is shown among the findings, with the nearest right one."""
    result = CliRunner().invoke(main, ["doctor", "flihgts"])
    assert result.exit_code == 1
    assert "did you mean 'flights'" in result.output

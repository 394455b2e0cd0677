"""The registry in MLflow on SQLite: names, state that is damaged or of another version, and what it imports."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fairlead.errors import ConfigurationError, PackageError, StateError
from fairlead.registry import lock, mlflow_registry, store
from fairlead.registry.choose import open_registry
from fairlead.registry.mlflow_registry import MlflowRegistry
from fairlead.settings import settings


def _mlflow() -> MlflowRegistry:
    registry = open_registry(settings())[0]
    assert isinstance(registry, MlflowRegistry)
    return registry


def _file() -> Path:
    return settings().registry_home / "mlflow.db"


def test_nothing_is_made_by_asking(own_state: Path) -> None:
    """A registry that was never used has no versions, and gets no files."""
    assert store.versions("flights") == []
    assert not own_state.exists()


@pytest.mark.parametrize("name", ["", "../flights", "a/b", ".hidden", "with space", "x" * 200])
def test_names_that_could_be_paths_are_refused(package: Path, name: str) -> None:
    """A name is a folder's name too."""
    with pytest.raises(ConfigurationError, match="letters, digits"):
        store.register(package, name)


@pytest.mark.parametrize("alias", ["latest", "v1", "1", ""])
def test_aliases_that_mlflow_reserves_are_refused(package: Path, alias: str) -> None:
    """Such an alias could be taken for a version."""
    with pytest.raises(ConfigurationError, match="alias"):
        store.register(package, "flights", alias=alias)


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    """An empty folder is not registered."""
    with pytest.raises(PackageError, match="no model package"):
        store.register(tmp_path / "nothing", "flights")


def test_a_registry_that_is_held_is_told(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two waits, and says so when it gives up."""
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.2)
    with lock.locked(settings().registry_home), pytest.raises(StateError, match="another process has held"):
        store.register(package, "flights")


def _use_copy(folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another file than MLflow knows of in this process."""
    file = folder / f"copy-{len(content)}.db"
    file.write_bytes(content)
    monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", f"sqlite:///{file}")
    return file


def test_a_corrupt_registry_is_told(
    package: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rubbish and half a file are refused, when opened and when in use; the advice works."""
    store.register(package, "flights")
    whole = _file().read_bytes()
    for damaged in (b"rubbish" * 1000, whole[: len(whole) // 2]):
        _file().write_bytes(damaged)
        with pytest.raises(StateError, match=r"move the file away and register again"):
            store.find("flights", "challenger")
        with pytest.raises(StateError, match="corrupt"):
            store.register(other, "flights")
    _file().unlink()
    assert store.register(package, "flights").version == "1"
    for damaged in (b"rubbish" * 1000, whole[: len(whole) // 2]):
        _use_copy(tmp_path, damaged, monkeypatch)
        with pytest.raises(StateError, match=r"move the file away and register again"):
            store.find("flights", "challenger")


def test_a_registry_of_another_version_is_told(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another MLflow's schema is refused with what to run, and left as it is."""
    file = _use_copy(tmp_path, empty_database.read_bytes(), monkeypatch)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '728d730b5ebd'")
        connection.commit()
    before = file.read_bytes()
    with pytest.raises(StateError, match=r"(?s)found version 728d730b5ebd.*mlflow db upgrade.*newer MLflow"):
        store.versions("flights")
    assert file.read_bytes() == before


@pytest.mark.parametrize("uri", ["flights", "ftp://models"])
def test_an_address_that_mlflow_has_no_registry_for_is_told(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the address and the setting."""
    monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", uri)
    with pytest.raises((ConfigurationError, StateError), match=rf"(?s){uri}.*FAIRLEAD_REGISTRY_URI"):
        store.versions("flights")


def test_the_settings_name_the_registry(monkeypatch: pytest.MonkeyPatch, own_state: Path) -> None:
    """By default SQLite under home; else the tracking server; else what is set; packages of each lie apart."""
    assert settings().registry_uri == f"sqlite:///{own_state}/registry/mlflow.db"
    assert _mlflow().home == own_state / "registry"
    monkeypatch.setenv("FAIRLEAD_TRACKING_URI", "http://127.0.0.1:5000")
    assert settings().registry_uri == "http://127.0.0.1:5000"
    homes = [_mlflow().home]
    monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", "sqlite:////elsewhere/mlflow.db")
    assert settings().registry_uri == "sqlite:////elsewhere/mlflow.db"
    assert len({own_state / "registry", _mlflow().home, *homes}) == 3
    monkeypatch.setenv("FAIRLEAD_REGISTRY_TOKEN", "secret")
    assert "secret" not in repr(settings())


def test_of_two_versions_that_are_added_at_once_one_stays(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines that register one package on a server may both find none, and both add it: the later one goes."""
    done = store.register(package, "flights")
    look, looks = mlflow_registry._with_digest, iter([True])

    def look_too_early(*arguments: Any) -> list[str]:
        return [] if next(looks, False) else look(*arguments)

    monkeypatch.setattr(mlflow_registry, "_with_digest", look_too_early)
    assert store.register(package, "flights") == done
    assert next(looks, None) is None
    assert [known.version for known in store.versions("flights")] == ["1"]


def test_a_server_that_is_down_is_told(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon, and without the password that its address may hold."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(StateError, match="see that it runs") as caught:
        store.register(package, "flights")
    assert "secret" not in str(caught.value)


def test_versions_registered_past_fairlead_are_left_out(package: Path) -> None:
    """Such a version has no digest; one that MLflow's client deletes is gone."""
    store.register(package, "flights")
    with _mlflow().open() as mlflow:
        mlflow.create_model_version("flights", "/somewhere")
    assert [known.version for known in store.versions("flights")] == ["1"]
    with _mlflow().open() as mlflow:
        mlflow.delete_model_version("flights", "1")
    assert store.versions("flights") == []
    assert store.register(package, "flights").version == "3"


def test_reading_verdicts_does_not_import_mlflow(own_state: Path) -> None:
    """Deployment asks for verdicts only, and a first run for a champion that no registry can have: both are quick."""
    code = (
        "import sys; from fairlead.registry import deployments, store; store.verdicts('flights', 'sha256:1'); "
        "store.find('flights', 'champion'); deployments.deployments('flights'); store.names(); "
        "sys.exit(bool({'mlflow', 'sqlalchemy', 'mr_openapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not own_state.exists()


def test_mlflow_says_nothing(package: Path) -> None:
    """A registration in a process of its own prints and logs nothing, and leaves nothing in the working folder."""
    code = "import sys; from fairlead.registry import store; store.register(sys.argv[1], 'flights')"
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", code, str(package)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=package.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.name for path in package.parent.iterdir()} == {"package", ".fairlead"}

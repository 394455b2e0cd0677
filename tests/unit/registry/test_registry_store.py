"""The registry: versions, aliases, verdicts, concurrency, and state that is damaged or of another version."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from models import tiny_package

from fairlead.errors import ConfigurationError, PackageError, StateError, VerdictError
from fairlead.registry import client, store
from fairlead.settings import settings
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest


def _file() -> Path:
    return settings().registry_home / "mlflow.db"


def test_a_package_is_registered_whole(package: Path) -> None:
    """The copy is the package, the alias points at it, and lineage is told."""
    done = store.register(package, "flights")
    assert (done.name, done.version, done.digest) == ("flights", "1", package_digest(package))
    assert package_digest(done.uri) == done.digest
    assert done.aliases == ("challenger",)
    assert done.lineage == {"recipe": "tiny", "data.digest": "sha256:1", "data.rows": "9"}
    assert done.reference() == {"name": "flights", "version": "1", "digest": done.digest, "uri": done.uri}


def test_the_same_package_is_the_same_version(package: Path, other: Path) -> None:
    """Registering is idempotent; another package is the next version and takes the alias."""
    first = store.register(package, "flights")
    assert store.register(package, "flights") == first
    second = store.register(other, "flights")
    assert second.version == "2"
    assert [known.version for known in store.versions("flights")] == ["1", "2"]
    assert store.versions("flights")[0].aliases == ()
    assert store.register(package, "churn").version == "1"


def test_versions_are_found_by_alias_version_and_digest(package: Path, other: Path) -> None:
    """All three find the same; what is not there is None; nothing or two of them is an error."""
    done, newer = store.register(package, "flights"), store.register(other, "flights")
    assert store.find("flights", "challenger") == newer
    assert store.find("flights", version="2") == newer
    found = store.find("flights", digest=done.digest)
    assert found is not None
    assert found.version == "1"
    assert store.find("flights", "champion") is None
    assert store.find("nothing", "champion") is None
    with pytest.raises(ConfigurationError, match="exactly one"):
        store.find("flights")
    with pytest.raises(ConfigurationError, match="exactly one"):
        store.find("flights", "champion", version="1")


def test_nothing_is_made_by_asking(own_state: Path) -> None:
    """A registry that was never used has no versions, and gets no files."""
    assert store.versions("flights") == []
    assert not own_state.exists()


def test_aliases_move_and_go(package: Path, other: Path) -> None:
    """An alias points at one version; a version may have several."""
    store.register(package, "flights")
    store.set_alias("flights", "1", "champion")
    assert store.versions("flights")[0].aliases == ("challenger", "champion")
    store.register(other, "flights")
    store.set_alias("flights", "2", "champion")
    found = store.find("flights", "champion")
    assert found is not None
    assert found.version == "2"
    store.remove_alias("flights", "champion")
    store.remove_alias("flights", "champion")
    assert store.find("flights", "champion") is None
    with pytest.raises(ConfigurationError, match=r"no version '7' .* it has: 1, 2"):
        store.set_alias("flights", "7", "champion")


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


def test_nothing_is_registered_without_its_verdicts(package: Path, other: Path, own_state: Path) -> None:
    """Missing, rejected and foreign verdicts are refused before anything is written."""
    digest, foreign = package_digest(package), package_digest(other)
    with pytest.raises(VerdictError, match="no verdict"):
        store.register(package, "flights", [], ["evaluation"])
    rejected = Verdict("evaluation", digest, "rejected", reasons=["roc_auc is 0.5"])
    with pytest.raises(VerdictError, match=r"rejected: roc_auc is 0\.5"):
        store.register(package, "flights", [rejected], ["evaluation"])
    with pytest.raises(VerdictError, match="another model"):
        store.register(package, "flights", [Verdict("evaluation", foreign, "approved")], ["evaluation"])
    assert not own_state.exists()


def test_verdicts_are_kept_with_the_package(package: Path, other: Path) -> None:
    """Those bound to the package are kept and told; a canary's can follow; one of another package cannot."""
    digest, foreign = package_digest(package), package_digest(other)
    given = [Verdict("evaluation", digest, "approved"), Verdict("comparison", foreign, "approved")]
    assert store.register(package, "flights", given, ["evaluation"]).verdicts == {"evaluation": "approved"}
    assert store.verdicts("flights", digest) == given[:1]
    store.keep_verdict("flights", Verdict("canary", digest, "rejected", reasons=["slow"]))
    found = store.find("flights", "challenger")
    assert found is not None
    assert found.verdicts == {"canary": "rejected", "evaluation": "approved"}
    assert [verdict.judge for verdict in store.verdicts("flights", digest)] == ["canary", "evaluation"]
    with pytest.raises(VerdictError, match="no registered package"):
        store.keep_verdict("flights", given[1])


def test_a_damaged_copy_is_replaced_by_registering_again(package: Path) -> None:
    """What was changed in the registry's folder does not stay there."""
    done = store.register(package, "flights")
    (Path(done.uri) / "model.onnx").write_bytes(b"changed")
    assert store.register(package, "flights").version == "1"
    assert package_digest(done.uri) == done.digest


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    """An empty folder is not registered."""
    with pytest.raises(PackageError, match="no model package"):
        store.register(tmp_path / "nothing", "flights")


def _register_three(folder: Path, worker: int) -> None:
    for number in range(3):
        store.register(folder / f"{worker}-{number}", "flights")


def test_registrations_at_once_lose_nothing(tmp_path: Path) -> None:
    """4 processes that register 3 packages each give 12 versions, each with its package; the file is made once."""
    folder = tmp_path / "packages"
    digests = {
        package_digest(tiny_package(folder / f"{worker}-{number}", bias=worker + number / 10))
        for worker in range(4)
        for number in range(3)
    }
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_register_three, args=(folder, worker)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    found = store.versions("flights")
    assert [known.version for known in found] == [str(number) for number in range(1, 13)]
    assert {known.digest for known in found} == digests
    assert all(package_digest(known.uri) == known.digest for known in found)


def _die_while_registering(package: Path) -> None:
    from mlflow import MlflowClient

    with mock.patch.object(MlflowClient, "set_registered_model_alias", side_effect=lambda *_: os._exit(9)):
        store.register(package, "flights")


def test_a_registration_that_is_killed_is_finished_by_the_next(package: Path, other: Path) -> None:
    """Killed between version and alias, it can be run again, and is the same version as if it had never died."""
    store.register(package, "flights")
    process = multiprocessing.get_context("fork").Process(target=_die_while_registering, args=(other,))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert [known.aliases for known in store.versions("flights")] == [("challenger",), ()]
    assert store.register(other, "flights").version == "2"
    assert [known.aliases for known in store.versions("flights")] == [(), ("challenger",)]


def test_a_registry_that_is_held_is_told(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two waits, and says so when it gives up."""
    monkeypatch.setattr(client, "WAIT_SECONDS", 0.2)
    with client._locked(settings().registry_home), pytest.raises(StateError, match="another process has held"):
        store.register(package, "flights")


def _use_copy(folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another file than MLflow knows of in this process."""
    file = folder / f"copy-{len(content)}.db"
    file.write_bytes(content)
    monkeypatch.setenv("FAIRLEAD_TRACKING_URI", f"sqlite:///{file}")
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
    monkeypatch.setenv("FAIRLEAD_TRACKING_URI", uri)
    with pytest.raises((ConfigurationError, StateError), match=rf"(?s){uri}.*FAIRLEAD_TRACKING_URI"):
        store.versions("flights")


def test_a_server_that_is_down_is_told(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon, and without the password that its address may hold."""
    monkeypatch.setattr("mlflow.utils.plugins.get_entry_points", lambda _: [])  # Feast's imports all of Feast: 8 s
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("FAIRLEAD_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(StateError, match="see that it runs") as caught:
        store.register(package, "flights")
    assert "secret" not in str(caught.value)


def test_versions_registered_past_fairlead_are_left_out(package: Path) -> None:
    """Such a version has no digest; one that MLflow's client deletes is gone."""
    store.register(package, "flights")
    with client.writing(settings()) as mlflow:
        mlflow.create_model_version("flights", "/somewhere")
    assert [known.version for known in store.versions("flights")] == ["1"]
    with client.writing(settings()) as mlflow:
        mlflow.delete_model_version("flights", "1")
    assert store.versions("flights") == []
    assert store.register(package, "flights").version == "3"


def test_reading_verdicts_does_not_import_mlflow(own_state: Path) -> None:
    """Deployment asks for verdicts only, and a first run for a champion that no registry can have: both are quick."""
    code = (
        "import sys; from fairlead.registry import store; store.verdicts('flights', 'sha256:1'); "
        "store.find('flights', 'champion'); sys.exit('mlflow' in sys.modules)"
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

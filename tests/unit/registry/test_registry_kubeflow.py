"""The registry in Kubeflow Model Registry: addresses, tokens, refusals, pages, and what others do to it."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mr_openapi
import pytest
from model_registry_server import Running, serve
from models import tiny_package

from fairlead.errors import ConfigurationError, StateError
from fairlead.registry import kubeflow_client, store
from fairlead.registry.fetch_model.task import fetch_model
from fairlead.registry.kubeflow_client import Address, connected
from fairlead.registry.kubeflow_entities import note_id
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A registry that asks for no token."""
    with serve() as running:
        monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", running.registry_uri)
        yield running


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("https://mr.example:8443", "https://mr.example:8443"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://[::1]:443/mr/?author=me", "https://[::1]:443/mr"),
        ("https://mr.example?ca=/etc/ca.pem", "https://mr.example"),
    ],
)
def test_an_address_is_read(uri: str, host: str) -> None:
    """Host, port and prefix; options apart."""
    assert Address.parse(uri).host == host


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("https://me:secret@mr.example", "user or password"),
        ("ftp://mr.example", "names no host by http"),
        ("https://", "names no host by http"),
        ("https://mr.example:many", "cannot be read"),
        ("https://mr.example?cert=1", "did you mean|allowed"),
    ],
)
def test_a_wrong_address_is_told(uri: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is right, and never with the password."""
    monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", f"model-registry+{uri}")
    with pytest.raises(ConfigurationError, match=told) as caught:
        store.versions("flights")
    assert "secret" not in str(caught.value)


def test_a_file_without_certificates_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option `ca` names what cannot be used."""
    monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", f"model-registry+https://127.0.0.1:9?ca={tmp_path}/none.pem")
    with pytest.raises(ConfigurationError, match=r"none\.pem holds no certificates"):
        store.versions("flights")


def test_a_server_that_is_down_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon, and with what to look at."""
    monkeypatch.setattr(kubeflow_client, "_RETRIES", 1)
    monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", "model-registry+http://127.0.0.1:9")
    with pytest.raises(StateError, match=r"out of reach .*see that it runs"):
        store.versions("flights")


def test_the_token_comes_from_variable_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file counts first and is read at each call; without a token the refusal says what to set, not what was."""
    with serve(token="open sesame") as running:
        monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", running.registry_uri)
        monkeypatch.setenv("FAIRLEAD_REGISTRY_TOKEN", "open barley")
        with pytest.raises(StateError, match=r"answered 401: who are you\?; set FAIRLEAD_REGISTRY_TOKEN") as caught:
            store.versions("flights")
        assert "barley" not in str(caught.value)
        monkeypatch.setenv("FAIRLEAD_REGISTRY_TOKEN_FILE", str(tmp_path / "token"))
        with pytest.raises(ConfigurationError, match="registry_token_file"):
            store.versions("flights")
        (tmp_path / "token").write_text("open sesame\n")
        assert store.versions("flights") == []


def test_a_server_that_stumbles_is_asked_again(server: Running) -> None:
    """Reads are repeated; a write that is refused is told."""
    server.broken += [503, 503]
    assert store.versions("flights") == []
    server.broken += [500] * 10
    with pytest.raises(StateError, match="answered 500: told to fail; see its log"):
        store.set_alias("flights", "1", "champion")


def test_what_is_no_model_registry_is_told(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server, and a path that it does not know."""
    monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", f"{server.registry_uri}/other")
    with pytest.raises(StateError, match=r"answered 404|otherwise than"):
        store.names()


def test_more_versions_than_fit_on_a_page(server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are read to their end."""
    monkeypatch.setattr(kubeflow_client, "_PAGE", "2")
    for number in range(5):
        package = tiny_package(tmp_path / str(number), bias=number / 10)
        store.register(package, "flights", [Verdict("evaluation", package_digest(package), "approved")])
    found = store.versions("flights")
    assert [known.version for known in found] == ["1", "2", "3", "4", "5"]
    assert all(known.verdicts for known in found)


def test_what_other_tools_put_there_is_left_alone(server: Running, package: Path, other: Path) -> None:
    """Versions without a digest are not ours and keep their numbers; one archived by hand comes back if registered."""
    with connected(Address(server.url), str) as api:
        model = api.call("create_registered_model", mr_openapi.RegisteredModelCreate(name="flights"))
        for name in ("1", "nightly"):
            version = mr_openapi.ModelVersionCreate(name=name, registered_model_id=model.id)
            api.call("create_model_version", version)
    assert store.versions("flights") == []
    assert store.register(package, "flights").version == "2"
    assert store.register(other, "flights").version == "3"
    with connected(Address(server.url), str) as api:
        found = api.find("model_version", name="2", parent_resource_id=model.id)
        assert found is not None
        archived = mr_openapi.ModelVersionUpdate(state=mr_openapi.ModelVersionState.ARCHIVED)
        api.call("update_model_version", found.id, archived)
    assert [known.version for known in store.versions("flights")] == ["3"]
    assert store.register(package, "flights").version == "2"
    assert [known.version for known in store.versions("flights")] == ["2", "3"]


def test_kserve_finds_the_package(server: Running, package: Path) -> None:
    """A version has one ModelArtifact with the package's address, however often it is registered."""
    for _ in range(2):
        done = store.register(package, "flights")
    with connected(Address(server.url), str) as api:
        found = list(api.every("get_model_version_artifacts", "2"))
    (artifact,) = (one for one in found if one.artifact_type == "model-artifact")
    assert (artifact.uri, artifact.model_format_name) == (done.uri, "onnx")


def test_an_underscore_is_no_wildcard(server: Running, package: Path) -> None:
    """Notes and aliases of `a_b` and `axb` are apart, though the server's LIKE takes `_` for any character."""
    digest = package_digest(package)
    store.register(package, "axb", [Verdict("evaluation", digest, "approved")], alias="champion")
    store.register(package, "a_b")
    (found,) = store.versions("a_b")
    assert (found.aliases, found.verdicts, store.verdicts("a_b", digest)) == (("challenger",), {}, [])


def test_a_server_that_does_not_filter_is_understood(
    server: Running, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older servers give all artifacts, whatever filter is asked for."""
    monkeypatch.setattr("model_registry_store._filter", lambda _: lambda _external: True)
    digest = package_digest(package)
    for name in ("one", "two"):
        store.register(package, name, [Verdict("evaluation", digest, "approved")], documents={"model_card": name})
    assert [known.aliases for known in store.versions("one")] == [("challenger",)]
    assert store.documents("two", digest) == {"model_card": "two"}


def test_two_machines_that_register_one_package_have_it_both(
    server: Running, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one version; each is told its own copy, and fetches that."""
    first = store.register(package, "flights")
    monkeypatch.setenv("FAIRLEAD_HOME", str(tmp_path / "second"))
    second = store.register(package, "flights")
    assert (second.version, second.digest) == (first.version, first.digest)
    assert Path(second.uri).is_relative_to(tmp_path / "second")
    shutil.rmtree(first.uri)
    assert fetch_model(tmp_path / "fetched", "flights", "challenger").digest == first.digest


def test_ids_that_are_too_long_are_told() -> None:
    """The server takes 255 characters, of which some are for what is removed."""
    assert len(note_id("n" * 100, "sha256:" + "a" * 64, "deployments", "k" * 75)) <= 230
    with pytest.raises(ConfigurationError, match="too long together"):
        note_id("n" * 100, "sha256:" + "a" * 64, "deployments", "k" * 150)


def test_it_works_where_an_event_loop_runs(server: Running, package: Path) -> None:
    """As in a notebook."""

    async def cell() -> str:
        return store.register(package, "flights").version

    assert asyncio.run(cell()) == "1"


def test_a_registration_says_nothing_and_does_not_import_mlflow(server: Running, package: Path) -> None:
    """A process of its own prints and logs nothing, closes what it opened, and needs no MLflow."""
    code = (
        "import sys; from fairlead.registry import store; store.register(sys.argv[1], 'flights'); "
        "sys.exit('mlflow' in sys.modules or 'model_registry' in sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-W", "ignore::ImportWarning", "-c", code, str(package)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

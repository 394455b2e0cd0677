"""What a user is told where Kubeflow Pipelines cannot be reached, is another, or refuses."""

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from kfp_backend import Backend, Fault, kfp_backend
from kfp_store import Store

from fairlead_pipelines.kfp_server import connection

Fairlead = Callable[..., Result]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (400, "takes neither the package nor these values"),
        (401, "FAIRLEAD_KFP_TOKEN_FILE"),
        (403, "FAIRLEAD_KFP_NAMESPACE"),
        (404, "FAIRLEAD_KFP_URI"),
        (413, "a proxy before the server"),
        (500, "kubectl logs deployment/ml-pipeline"),
    ],
)
def test_refusal_is_told_with_what_to_do(
    backend: Backend, fairlead: Fairlead, pipeline_file: Path, status: int, told: str
) -> None:
    """The status, the server's own words, and what to do."""
    backend.faults = [Fault(r"POST .*/upload_version$", status, message="the quota of the team is used up")]
    ended = fairlead("submit", str(pipeline_file))
    assert ended.exit_code == 1
    assert f"uploading the package: {backend.uri} answers {status}: " in ended.output
    assert "the quota of the team is used up" in ended.output
    assert told in ended.output
    tries = backend.count("POST .*/upload_version")
    assert tries > 1 if status == 500 else tries == 1  # a refusal is not asked for again
    assert not backend.store.runs


@pytest.mark.parametrize("kind", ["page", "login"])
def test_login_in_between(backend: Backend, fairlead: Fairlead, pipeline_file: Path, kind: str) -> None:
    """A login page, or being sent to one, is told apart from Kubeflow Pipelines."""
    backend.faults = [Fault(r"healthz$", kind)]
    ended = fairlead("submit", str(pipeline_file))
    assert ended.exit_code == 1
    assert "login" in ended.output
    assert "FAIRLEAD_KFP_TOKEN_FILE" in ended.output


def test_token_is_read_anew(
    backend: Backend, fairlead: Fairlead, pipeline_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token's file is read for each request: tokens of Kubernetes are replaced while a run goes on."""
    backend.token = "first"
    refused = fairlead("submit", str(pipeline_file))
    assert refused.exit_code == 1
    assert "answers 401" in refused.output
    file = tmp_path / "token"
    monkeypatch.setenv("FAIRLEAD_KFP_TOKEN_FILE", str(file))
    assert "there is no" in fairlead("submit", str(pipeline_file)).output.lower() or not file.exists()
    file.write_text("first\n")
    look = backend.life

    def change(run: dict[str, object]) -> object:
        backend.token = "second"
        file.write_text("second")
        return look(run)

    monkeypatch.setattr(backend, "life", change)
    ended = fairlead("submit", str(pipeline_file))
    assert ended.exit_code == 0, ended.output


@pytest.mark.parametrize("content", ["", "two tokens", "t\u00f6ken"])
def test_broken_token_is_not_sent(
    backend: Backend, fairlead: Fairlead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """What cannot be a token is refused here."""
    file = tmp_path / "token"
    file.write_text(content)
    monkeypatch.setenv("FAIRLEAD_KFP_TOKEN_FILE", str(file))
    ended = fairlead("follow", "x")
    assert ended.exit_code == 1
    assert "does not hold one token alone" in ended.output
    assert not backend.seen


def test_nothing_listens(fairlead: Fairlead) -> None:
    """A wrong port, a wrong host and no address at all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "nothing listens at" in fairlead("follow", "x", "--kfp", f"http://127.0.0.1:{port}").output
    assert "nobody knows the host" in fairlead("follow", "x", "--kfp", "http://kfp.invalid").output
    assert "set FAIRLEAD_KFP_URI" in fairlead("follow", "x").output


def test_silent_server(backend: Backend, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes too long is told as such."""
    monkeypatch.setattr(connection, "_SECONDS", (0.2, 0.2))
    backend.faults = [Fault(r"healthz$", "slow")]
    assert "gave no answer in time" in fairlead("follow", "x").output


def test_kubeflow_pipelines_1(backend: Backend, fairlead: Fairlead) -> None:
    """A Kubeflow Pipelines 1 is recognised."""
    backend.version = 1
    assert "is Kubeflow Pipelines 1" in fairlead("follow", "x").output


def test_something_else(backend: Backend, fairlead: Fairlead) -> None:
    """A server that is no Kubeflow Pipelines at all."""
    backend.faults = [Fault(r"healthz$", 404)]
    assert "there is none at" in fairlead("follow", "x").output


def test_several_users(fairlead: Fairlead, pipeline_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are several users, the namespace is asked for, and one that is not ours is refused by the server."""
    with kfp_backend(store=Store(multi_user=True)) as backend:
        monkeypatch.setenv("FAIRLEAD_KFP_URI", backend.uri)
        assert "set FAIRLEAD_KFP_NAMESPACE" in fairlead("submit", str(pipeline_file)).output
        monkeypatch.setenv("FAIRLEAD_KFP_NAMESPACE", "other")
        refused = fairlead("submit", str(pipeline_file))
        assert "answers 403" in refused.output
        assert "namespace=other" in refused.output
        monkeypatch.setenv("FAIRLEAD_KFP_NAMESPACE", "team")
        assert fairlead("submit", str(pipeline_file), "--no-follow").exit_code == 0
        assert backend.store.experiments[0]["namespace"] == "team"
        recurring = fairlead("submit", str(pipeline_file), "--recurring", "6h")
        assert recurring.exit_code == 0, recurring.output
        assert fairlead("recurring", "list").exit_code == 0


def test_certificate_of_a_private_authority(
    fairlead: Fairlead, pipeline_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that nobody signed is refused, and taken where the settings name it; http against TLS is told."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    with kfp_backend((certificate, key)) as backend:
        monkeypatch.setenv("FAIRLEAD_KFP_URI", backend.uri)
        monkeypatch.setattr(connection, "_WAITS", ())
        refused = fairlead("submit", str(pipeline_file))
        assert refused.exit_code == 1
        assert "FAIRLEAD_KFP_CA_FILE" in refused.output
        monkeypatch.setenv("FAIRLEAD_KFP_CA_FILE", str(certificate))
        taken = fairlead("submit", str(pipeline_file), "--no-follow")
        assert taken.exit_code == 0, taken.output
        monkeypatch.setenv("FAIRLEAD_KFP_CA_FILE", str(tmp_path / "none.pem"))
        assert "there is no file" in fairlead("submit", str(pipeline_file)).output


def test_https_where_the_server_speaks_http(backend: Backend, fairlead: Fairlead) -> None:
    """The wrong scheme is told."""
    ended = fairlead("follow", "x", "--kfp", backend.uri.replace("http:", "https:"))
    assert "it speaks plain HTTP; write http://" in ended.output

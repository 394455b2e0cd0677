"""The registry against an MLflow server: mlflow-skinny brings none, so it needs Flask and others beside it."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fairlead.registry import store
from fairlead.registry.fetch_model.task import fetch_model
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest

LACKS = [name for name in ("flask", "flask_cors", "graphene", "huey") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(LACKS), reason=f"an MLflow server needs {', '.join(LACKS)}, which mlflow-skinny leaves out"
    ),
]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{uri}/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(log.read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server's address."""
    folder, port = tmp_path_factory.mktemp("server"), _free_port()
    storage = ["--backend-store-uri", f"sqlite:///{folder}/m.db", "--artifacts-destination", str(folder / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", *storage, "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, **quiet}, start_new_session=True, cwd=folder
        )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def test_a_server_keeps_versions_aliases_and_packages(
    server: str, package: Path, other: Path, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All as with SQLite; and a machine that has no copy gets the package from the server."""
    monkeypatch.setenv("FAIRLEAD_TRACKING_URI", server)
    assert store.find("flights", "champion") is None
    digest = package_digest(package)
    done = store.register(package, "flights", [Verdict("evaluation", digest, "approved")], ["evaluation"])
    assert (done.version, done.aliases, done.verdicts) == ("1", ("challenger",), {"evaluation": "approved"})
    assert package_digest(done.uri) == digest
    assert store.register(package, "flights") == done
    assert store.register(other, "flights").version == "2"
    store.set_alias("flights", "1", "champion")
    store.keep_verdict("flights", Verdict("canary", digest, "approved"))

    shutil.rmtree(own_state)
    assert fetch_model(package.parent / "fetched", "flights").digest == digest
    assert package_digest(package.parent / "fetched") == digest
    found = store.find("flights", digest=digest)
    assert found is not None
    assert found.aliases == ("champion",)
    assert found.verdicts == {"canary": "approved", "evaluation": "approved"}
    store.remove_alias("flights", "champion")
    assert store.find("flights", "champion") is None

"""Does the server refuse to be ready without its model, and does it end well?"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead.errors import PlatformError
from fairlead.evaluation.serving_spec import ServerSpec
from fairlead.evaluation.serving_trial.open_loop import wire
from fairlead.evaluation.serving_trial.payloads import path_of, v2
from fairlead.evaluation.serving_trial.process import HOST, ServerProcess, serving
from fairlead.evaluation.validate_server.trial import Trial
from fairlead_serving.package import MODEL, ModelPackage, package_digest

IN_FLIGHT = 4
PAUSE_SECONDS = 0.1
SHORTEST_PATIENCE_SECONDS = 2.0


@contextmanager
def broken_server(package: ModelPackage, spec: ServerSpec) -> Iterator[ServerProcess]:
    """Runs a server of a copy of the package whose model file breaks off in the middle.

    Yields:
        The server, which must never become ready.
    """
    folder = Path(tempfile.mkdtemp(prefix="fairlead-broken-"))
    try:
        path = folder / "package"
        _copy_broken(package.path, path)
        broken = ModelPackage(path, package_digest(path), package.manifest)
        with serving(broken, spec) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_broken(source: Path, target: Path) -> None:
    """Links every file but the model, which is cut in half: a package may be large."""
    for file in sorted(p for p in source.rglob("*") if p.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if file == source / MODEL:
            content = file.read_bytes()
            place.write_bytes(content[: len(content) // 2])
        else:
            place.symlink_to(file.resolve())


def check_broken(trial: Trial, broken: ServerProcess, patience_seconds: float) -> None:
    """Watches a server whose model cannot be loaded: it must not say that it is ready.

    Args:
        trial: The trial of the good server.
        broken: The server of the broken package, started some time ago.
        patience_seconds: How long after its start it is watched: longer than the good one took.
    """

    def never_ready(_: Trial) -> tuple[bool, str]:
        end = broken.started + max(patience_seconds, SHORTEST_PATIENCE_SECONDS)
        while broken.alive:
            if broken.is_ready():
                return False, "it says that it is ready, with a model file that breaks off in the middle"
            if time.perf_counter() > end:
                return True, "it stayed, and was not ready"
            time.sleep(PAUSE_SECONDS)
        return True, "it ended"

    trial.attempt("readiness with a broken model", "never ready", never_ready, ends=True)


def check_drain(trial: Trial) -> None:
    """Makes the last check: SIGTERM while requests are in flight."""
    trial.attempt("SIGTERM", f"answers what has begun, ends within {trial.spec.drain_seconds:g} s", _drain, ends=True)


def _drain(trial: Trial) -> tuple[bool, str]:
    server = trial.server
    request = wire(HOST, server.port, path_of("v2", server.name), v2(trial.asker.fields, trial.rows.take([0])))
    half = request.index(b"\r\n\r\n") + 4 + 1  # the head and one byte: the request has begun
    connections: list[socket.socket] = []
    try:
        connections += [socket.create_connection((HOST, server.port), timeout=10) for _ in range(IN_FLIGHT)]
        for connection in connections:
            connection.sendall(request[:half])
        time.sleep(PAUSE_SECONDS)
        server.terminate()
        begun = time.perf_counter()
        time.sleep(PAUSE_SECONDS)
        answered = sum(_finish(connection, request[half:]) for connection in connections)
    except OSError as error:
        raise PlatformError(f"it does not take requests before SIGTERM: {error}") from None
    finally:
        for connection in connections:
            connection.close()
    try:
        status = server.process.wait(max(0.1, trial.spec.drain_seconds - (time.perf_counter() - begun)))
    except subprocess.TimeoutExpired:
        raise PlatformError(f"it still runs {trial.spec.drain_seconds:g} s after SIGTERM") from None
    seconds = time.perf_counter() - begun
    trial.findings.figures["drain_seconds"] = seconds
    text = f"{answered} of {IN_FLIGHT} requests answered, ended after {seconds:.1f} s with status {status}"
    return answered == IN_FLIGHT and status in _good_ends(trial), text


def _good_ends(trial: Trial) -> tuple[int, ...]:
    """Fairlead's own server ends with 0; another one may end by the signal itself, or say so as shells do."""
    return (0,) if trial.spec.own else (0, -15, 128 + 15)


def _finish(connection: socket.socket, rest: bytes) -> bool:
    """Sends the rest of a request; tells whether an answer of 200 came."""
    try:
        connection.sendall(rest)
        return connection.recv(65536).startswith(b"HTTP/1.1 200")
    except OSError:
        return False

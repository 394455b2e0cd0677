"""A server process under trial: started with a package, watched until it is ready, measured, and ended."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from fairlead.errors import PlatformError
from fairlead.evaluation.serving_spec import RuntimeSpec
from fairlead.evaluation.serving_trial.plain_http import Answer, Connection, ConnectionLostError, Request, ask_once
from fairlead.platform.laptop.processes import free_port, log_tail
from fairlead_serving.package import ModelPackage

HOST = "127.0.0.1"
OWN_COMMAND = (
    "{python}", "-m", "fairlead_serving", "--name", "{name}", "--package", "{package}", "--digest", "{digest}",
    "--port", "{port}", "--grpc-port", "{grpc_port}", "--host", "{host}", "--predictions", "{folder}",
)  # fmt: skip
KILL_SECONDS = 5.0


@dataclass
class ServerProcess:
    """One server of one package.

    Attributes:
        name: The name under which the model is served.
        package: What it serves.
        spec: How it was started.
        port: Where it listens for HTTP.
        grpc_port: Where it listens for gRPC, if it does.
        process: The process.
        log: The file that holds what it wrote.
        started: When it was started (time.perf_counter()).
    """

    name: str
    package: ModelPackage
    spec: RuntimeSpec
    port: int
    grpc_port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    started: float

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    @property
    def ready_path(self) -> str:
        """Where it says whether the model is ready."""
        return self.spec.ready_path.replace("{name}", self.name)

    def connect(self, timeout_seconds: float = 30.0) -> Connection:
        """Makes a connection that is kept between requests."""
        return Connection(HOST, self.port, timeout_seconds)

    def ask(self, method: str, path: str, request: Request | None = None) -> Answer:
        """Asks over a connection of its own.

        Raises:
            ConnectionLostError: No answer came.
        """
        return ask_once(HOST, self.port, method, path, request)

    def is_ready(self) -> bool:
        """Whether the server says that the model is ready."""
        try:
            return self.ask("GET", self.ready_path).ok
        except ConnectionLostError:
            return False

    def wait_ready(self, meanwhile: Callable[[], None] = lambda: None) -> float:
        """Waits until the server says that the model is ready.

        Args:
            meanwhile: Called between two looks.

        Returns:
            Seconds from its start.

        Raises:
            PlatformError: It ends before, or takes longer than is allowed; the text has the end of its log.
        """
        while self.alive:
            if self.is_ready():
                return time.perf_counter() - self.started
            if time.perf_counter() - self.started > self.spec.ready_timeout_seconds:
                raise PlatformError(
                    f"the server was not ready within {self.spec.ready_timeout_seconds:g} s{self._log_ending()}"
                )
            meanwhile()
            time.sleep(0.02)
        raise PlatformError(f"the server ended with status {self.process.returncode}{self._log_ending()}")

    def memory_bytes(self) -> int:
        """What it and its children hold resident; 0 where it has ended."""
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            for process in (own, *own.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
        return total

    def terminate(self) -> None:
        """Sends SIGTERM."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it and its children at once."""
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            for process in (*own.children(recursive=True), own):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait(KILL_SECONDS)

    def _log_ending(self) -> str:
        tail = log_tail(self.log)
        return f"; its log ends:\n{tail}" if tail else " and wrote nothing"


@contextlib.contextmanager
def serving(package: ModelPackage, spec: RuntimeSpec) -> Iterator[ServerProcess]:
    """Runs a server of a package on free ports of this machine, and ends it whatever happens.

    Features are not looked up: requests hold the model's inputs.

    Args:
        package: The package.
        spec: Which server, and how.

    Yields:
        The server, which may not be ready yet.

    Raises:
        PlatformError: The program cannot be started.
    """
    folder = Path(tempfile.mkdtemp(prefix="fairlead-server-"))
    try:
        server = _start(package, spec, folder)
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(package: ModelPackage, spec: RuntimeSpec, folder: Path) -> ServerProcess:
    name, log = package.manifest.name, folder / "server.log"
    port = grpc_port = free_port(HOST)
    while grpc_port == port:
        grpc_port = free_port(HOST)
    places = {
        "python": sys.executable, "package": str(package.path.resolve()), "digest": package.digest, "name": name,
        "host": HOST, "port": str(port), "grpc_port": str(grpc_port), "folder": str(folder / "own"),
    }  # fmt: skip
    (folder / "own").mkdir()
    command = [part.format(**places) for part in spec.command or OWN_COMMAND]
    started = time.perf_counter()
    try:
        with log.open("wb") as output:
            # In this process's group, so that whoever ends the group ends the server too.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, "TZ": "UTC", **spec.environment},
            )  # fmt: skip
    except OSError as error:
        raise PlatformError(f"the server cannot be started: {command[0]}: {error}; see server.command") from None
    return ServerProcess(name, package, spec, port, grpc_port, process, log, started)

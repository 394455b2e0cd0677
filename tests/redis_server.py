"""The real Redis for tests: Debian's redis-server, found on the PATH, or installed by apt-get where this is root."""

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

PASSWORD = "only-for-tests"
READY_SECONDS = 20.0


@functools.cache
def find_redis() -> str:
    """Find redis-server, or install it; skip the test with the reason where neither can be done."""
    found = shutil.which("redis-server")
    if found is None and os.getuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # no service is started
        command = ["apt-get", "install", "-y", "--no-install-recommends", "redis-server"]
        with filelock.FileLock(Path(tempfile.gettempdir()) / "fairlead-redis.lock"):  # tests run in several processes
            if shutil.which("redis-server") is None:
                subprocess.run(["apt-get", "update"], check=False, capture_output=True, timeout=300)
                subprocess.run(command, check=False, capture_output=True, timeout=300, env=environment)
        found = shutil.which("redis-server")
    if found is None:
        pytest.skip("there is no redis-server: apt-get install redis-server")
    return found


class RedisServer:
    """A Redis on a port of its own, with a password and, if asked for, TLS only.

    Args:
        folder: Where it works; certificates lie here.
        tls: Whether it speaks TLS, with certificates made here.
    """

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        self.folder, self.tls = folder, tls
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None
        if tls:
            _make_certificates(folder)

    @property
    def connection(self) -> str:
        """The address as Feast writes it."""
        secure = f",ssl=true,ssl_ca_certs={self.folder}/ca.pem" if self.tls else ""
        return f"127.0.0.1:{self.port},password={PASSWORD}{secure}"

    def start(self) -> None:
        """Start it, with what it had saved, and wait until it answers."""
        port = ["--port", "0", "--tls-port", str(self.port)] if self.tls else ["--port", str(self.port)]
        files = {"--tls-cert-file": "server.pem", "--tls-key-file": "server.key", "--tls-ca-cert-file": "ca.pem"}
        secure = [part for name, file in files.items() for part in (name, str(self.folder / file))]
        command = [
            find_redis(), "--bind", "127.0.0.1", *port, *([*secure, "--tls-auth-clients", "no"] if self.tls else []),
            "--requirepass", PASSWORD, "--dir", str(self.folder), "--appendonly", "yes", "--save", "",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                break
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("redis-server did not start")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it as a lost machine would."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let it hang: connections stay, answers do not come."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


@contextlib.contextmanager
def running_redis(folder: Path, *, tls: bool = False) -> Iterator[RedisServer]:
    """Run a Redis while the context is open."""
    server = RedisServer(folder, tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _make_certificates(folder: Path) -> None:
    """Make a certificate for 127.0.0.1 that is its own authority."""
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "server.key"),
        "-out", str(folder / "server.pem"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    shutil.copy(folder / "server.pem", folder / "ca.pem")

"""What is measured, and how: servers on one core, h2load on another."""

import os
import re
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

SERVER_CORE, CLIENT_CORE = "0", "1"
READY_SECONDS = 180


@dataclass
class Target:
    """One server by one protocol.

    Attributes:
        server, protocol: Their names, in the tables.
        url: Where requests go.
        body: What is sent.
        headers: With it.
        pid: The server's process.
        rates, busy: Requests per second, and per second of the server's CPU time, by concurrency, one of each round.
        times: The 50th and 99th percentile of milliseconds, by concurrency.
    """

    server: str
    protocol: str
    url: str
    body: bytes
    headers: dict[str, str]
    pid: int = 0
    rates: dict[int, list[float]] = field(default_factory=dict)
    busy: dict[int, list[float]] = field(default_factory=dict)
    times: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    def rate(self, clients: int) -> float:
        """The median rate."""
        return statistics.median(self.rates[clients])

    def per_cpu(self, clients: int) -> float:
        """The median of requests per CPU second."""
        return statistics.median(self.busy[clients])

    def percentiles(self, clients: int) -> tuple[float, float]:
        """The medians of the rounds' percentiles."""
        p50, p99 = zip(*self.times[clients], strict=True)
        return statistics.median(p50), statistics.median(p99)


def free_port() -> int:
    """A port that nothing listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(command: Sequence[str | Path], ready: str, folder: Path, **environment: str) -> Iterator[int]:
    """Runs a server on the server's core until the context ends; gives its process's id."""
    log = folder / f"{Path(str(command[1])).stem}-{free_port()}.log"
    settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    with log.open("w") as output:
        process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *map(str, command)], stdout=output, stderr=output, env=settings, cwd=folder
        )
    try:
        end = time.monotonic() + READY_SECONDS
        while not is_ready(ready):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[1]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def is_ready(url: str) -> bool:
    """Whether a server answers at all."""
    try:
        return httpx.get(url, timeout=10).status_code < 500
    except httpx.TransportError:
        return False


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(target: Target, clients: int, seconds: int, folder: Path) -> None:
    """Asks a target for some seconds and notes the figures; an answer other than 200 ends the benchmark."""
    body, log = folder / "body", folder / "times"
    body.write_bytes(target.body)
    log.unlink(missing_ok=True)
    headers = [part for name, value in target.headers.items() for part in ("-H", f"{name}: {value}")]
    version = [] if target.protocol == "gRPC" else ["--h1"]
    before, begun = cpu_seconds(target.pid), time.perf_counter()
    ended = subprocess.run(
        ["taskset", "-c", CLIENT_CORE, "h2load", *version, "-c", str(clients), "-t", "1", "-D", str(seconds),
         "--warm-up-time=1", "--log-file", log, "-d", body, *headers, target.url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    used = cpu_seconds(target.pid) - before
    found = re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", ended.stdout)
    if found is None or any(int(count) for count in found.groups()[1:]):
        raise RuntimeError(f"{target.server} {target.protocol}: {ended.stdout[-600:]}")
    rows = np.loadtxt(log, usecols=(0, 2), ndmin=2)
    millis, asked = rows[:, 1] / 1000, int(found[1])
    span = (rows[-1, 0] + rows[-1, 1] - rows[0, 0]) / 1e6 if len(rows) > 1 else time.perf_counter() - begun
    target.rates.setdefault(clients, []).append(len(rows) / max(span, 1e-9))
    target.busy.setdefault(clients, []).append(asked * (1 + 1 / seconds) / max(used, 0.01))
    target.times.setdefault(clients, []).append((float(np.percentile(millis, 50)), float(np.percentile(millis, 99))))

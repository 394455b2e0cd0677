"""Stands in for fairlead_serving in a pod: ready at once, and misbehaves as its package says.

It takes fairlead_serving's arguments, answers V1 predictions and V2 readiness with the digest in a header, and counts
as fairlead_serving does. A file `behaviour.json` in the package may hold:

    fail: the share of predictions that are answered 500      slow: seconds that every prediction takes
    exit: the status with which it ends at once                never_ready: whether it answers probes with 503
    leak: MiB that every prediction keeps                      garbage: whether it answers 200 with rubbish
"""

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
QUIET_SECONDS = 0.5


class State:
    """What the server knows of itself."""

    def __init__(self, name: str, digest: str, behaviour: dict[str, Any]) -> None:
        self.name, self.digest, self.behaviour = name, digest, behaviour
        self.codes: Counter[int] = Counter()
        self.seconds: Counter[float] = Counter()
        self.lock = threading.Lock()
        self.kept: list[bytes] = []
        self.draining, self.last = False, time.monotonic()

    def count(self, code: int, seconds: float) -> None:
        """Counts an answer."""
        with self.lock:
            self.codes[code] += 1
            self.seconds[next((bound for bound in BOUNDS if seconds <= bound), float("inf"))] += 1

    def metrics(self) -> str:
        """The counters in Prometheus' text format."""
        labels = f'model="{self.name}",version="{self.digest.removeprefix("sha256:")[:12]}",protocol="v1"'
        lines = ["# TYPE fairlead_requests_total counter"]
        with self.lock:
            lines += [f'fairlead_requests_total{{{labels},code="{code}"}} {n}' for code, n in self.codes.items()]
            lines.append("# TYPE fairlead_request_seconds histogram")
            below = 0
            for bound in (*BOUNDS, float("inf")):
                below += self.seconds[bound]
                named = "+Inf" if bound == float("inf") else bound
                lines.append(f'fairlead_request_seconds_bucket{{{labels},le="{named}"}} {below}')
            lines += [
                f"fairlead_request_seconds_count{{{labels}}} {below}",
                f"fairlead_request_seconds_sum{{{labels}}} 0",
            ]
        return "\n".join(lines) + "\n"


class Handler(BaseHTTPRequestHandler):
    """Answers probes, metrics and predictions."""

    protocol_version = "HTTP/1.1"
    state: State

    def do_GET(self) -> None:
        """Answers /metrics and probes."""
        state = self.state
        if self.path == "/metrics":
            self._answer(200, state.metrics().encode(), "text/plain")
            return
        ready = not (state.behaviour.get("never_ready") or state.draining)
        probe = self.path.endswith("/ready")
        self._answer(503 if probe and not ready else 200, json.dumps({"ready": ready}).encode())

    def do_POST(self) -> None:
        """Answers a prediction."""
        state, begun = self.state, time.perf_counter()
        state.last = time.monotonic()
        self.rfile.read(int(self.headers.get("content-length", 0)))
        time.sleep(state.behaviour.get("slow", 0))
        if megabytes := state.behaviour.get("leak"):
            state.kept.append(os.urandom(megabytes << 20))
        failed = random.random() < state.behaviour.get("fail", 0)
        body = {"error": "told to fail"} if failed else {"predictions": [{"probability": 0.5}]}
        if state.behaviour.get("garbage"):
            body = {"hello": "world"}
        state.count(500 if failed else 200, time.perf_counter() - begun)
        self._answer(500 if failed else 200, json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""

    def _answer(self, code: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(code)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-fairlead-digest", self.state.digest)
        if self.state.draining:
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serves until SIGTERM, and drains."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name")
    parser.add_argument("--digest")
    parser.add_argument("--package", type=Path)
    parser.add_argument("--drain-seconds", type=float, default=10.0)
    options, _ = parser.parse_known_args()
    file = options.package / "behaviour.json"
    behaviour = json.loads(file.read_text()) if file.exists() else {}
    if "exit" in behaviour:
        sys.stderr.write("stand-in: told to exit\n")
        sys.exit(behaviour["exit"])
    state = Handler.state = State(options.name, options.digest, behaviour)
    ThreadingHTTPServer.request_queue_size = 256
    server = ThreadingHTTPServer(("", 8080), Handler)

    def drain() -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < options.drain_seconds:
            time.sleep(0.05)
            if time.monotonic() - max(state.last, begun) > QUIET_SECONDS:
                break
        server.shutdown()

    def stop(*_: object) -> None:
        if not state.draining:
            state.draining = True
            threading.Thread(target=drain, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    server.serve_forever()


if __name__ == "__main__":
    main()

"""A real server stands whatever is sent to it: no fault of its own, no crash, and no memory that only grows.

pytest tests/local/test_serving_fuzz.py                  4,000 requests
pytest tests/local/test_serving_fuzz.py -m slow          100,000 requests
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from models import tiny_package
from serving_fuzz import GrpcFuzzer, RestFuzzer
from serving_process import ServerProcess, serving

ROW = {"carrier": "AA", "origin": "JFK", "hour": 1.0, "distance": None}
SEED = int(os.environ.get("FUZZ_SEED", "20260101"))
GROWTH = 150 << 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Serve the tiny package over REST and gRPC, with a repository that clients may try to load from."""
    (tmp_path / "repository").mkdir()
    more = ("--repository", str(tmp_path / "repository"), "--log-level", "ERROR")
    with serving(tiny_package(tmp_path / "package"), tmp_path, "tiny", *more, grpc=True) as running:
        yield running


def resident(server: ServerProcess) -> int:
    """The bytes that the process holds."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fuzz(server: ServerProcess, rest: int, grpc: int) -> str:
    """Send so many of each; a tenth first, so that what the libraries keep for good is there before the measurement."""
    before = server.predict(ROW).json()
    over_rest, over_grpc = RestFuzzer(server.port, SEED), GrpcFuzzer(server.grpc_port, SEED)
    start = 0
    for number in range(rest):
        over_rest.run(number)
        if number == rest // 10:
            start = resident(server)
        if number % 500 == 0:
            assert server.predict(ROW).json() == before, number
    for number in range(grpc):
        over_grpc.run(number)
    over_rest.close()
    over_grpc.close()
    assert server.process.poll() is None
    assert server.predict(ROW).json() == before
    end = resident(server)
    assert end - start < GROWTH, f"{start >> 20} MiB grew to {end >> 20} MiB"
    assert "Traceback" not in server.stderr, server.stderr[:2000]
    return (
        f"{rest} REST {dict(over_rest.statuses.most_common())}, {grpc} gRPC {dict(over_grpc.statuses.most_common())}, "
        f"resident {start >> 20} MiB after a tenth, {end >> 20} MiB at the end"
    )


def test_some_thousands_of_fuzzed_requests(server: ServerProcess) -> None:
    """Each gets an answer that is the client's fault, or a prediction."""
    fuzz(server, 3000, 1000)


@pytest.mark.slow
def test_a_hundred_thousand_fuzzed_requests(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for long enough to see memory that grows."""
    text = fuzz(server, 80_000, 20_000)
    with capsys.disabled():
        print(f"\n{text}")  # noqa: T201 - the figures are what this test is run for

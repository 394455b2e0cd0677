"""Many clients of one service, in a process of their own, that count everything that went wrong for them.

    python tests/crowd.py --port 8080 --name flights --requests 10000 --per-second 500

It sends at least so many, and goes on until it is told to end (SIGTERM). Then it prints one JSON object: requests, by
digest the answers, by kind the failures, the longest wait in seconds.
Clients do not retry: what they count as failed is what a user would have seen.
"""

import argparse
import asyncio
import itertools
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

CLIENTS = 16
PATIENCE_SECONDS = 20.0


@dataclass
class Seen:
    """What the clients met.

    Attributes:
        requests: How many were sent.
        answered: Answers that held a prediction, by the digest that gave them.
        failed: The others, by what was wrong.
        longest_seconds: The longest wait.
    """

    requests: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0


class Crowd:
    """A crowd that runs beside a test."""

    def __init__(self, port: int, name: str, requests: int, per_second: float) -> None:
        arguments = {"port": port, "name": name, "requests": requests, "per-second": per_second}
        options = [text for key, value in arguments.items() for text in (f"--{key}", str(value))]
        command = [sys.executable, str(Path(__file__)), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def finish(self, seconds: float = 300) -> Seen:
        """Lets it send what is left of its requests, and waits for that."""
        self._process.terminate()
        output, _ = self._process.communicate(timeout=seconds)
        found = json.loads(output)
        return Seen(found["requests"], Counter(found["answered"]), Counter(found["failed"]), found["longest_seconds"])

    def stop(self) -> None:
        """Ends a crowd that is not waited for."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


async def _run(port: int, name: str, requests: int, per_second: float) -> Seen:
    seen, begun = Seen(), time.monotonic()
    numbers, told = itertools.count(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS), connector=aiohttp.TCPConnector(limit=CLIENTS)
    ) as session:

        async def client() -> None:
            for number in numbers:
                if number >= requests and told.is_set():
                    return
                await asyncio.sleep(max(0.0, begun + number / per_second - time.monotonic()))
                await _ask(session, f"http://127.0.0.1:{port}/v1/models/{name}", number, seen)

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return seen


async def _ask(session: aiohttp.ClientSession, address: str, number: int, seen: Seen) -> None:
    identity, asked = f"c{number}", time.monotonic()
    seen.requests += 1
    try:
        content: Any = {"instances": [{"x": number}]}
        async with session.post(f"{address}:predict", json=content, headers={"x-request-id": identity}) as answer:
            body, digest = await answer.read(), answer.headers.get("x-fairlead-digest", "")
            seen.longest_seconds = max(seen.longest_seconds, time.monotonic() - asked)
            if answer.status != 200:
                seen.failed[f"status {answer.status}"] += 1
                return
            if not _holds_prediction(body):
                seen.failed["no prediction"] += 1
                return
            seen.answered[digest] += 1
        feedback = {"request_id": identity, "row": 0, "outcome": int(random.random() < 0.3)}
        async with session.post(f"{address}:feedback", json=feedback) as answer:
            await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        seen.failed[type(error).__name__] += 1


def _holds_prediction(body: bytes) -> bool:
    try:
        return bool(0 <= json.loads(body)["predictions"][0]["probability"] <= 1)
    except (ValueError, LookupError, TypeError):
        return False


def main() -> None:
    """Runs the crowd and prints what it met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--per-second", type=float, required=True)
    given = parser.parse_args()
    seen = asyncio.run(_run(given.port, given.name, given.requests, given.per_second))
    print(json.dumps({**vars(seen)}))  # noqa: T201 - the output is the result


if __name__ == "__main__":
    main()

"""The client: sends rows at a steady rate whatever the server does, and counts every answer."""

import asyncio
import heapq
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import httpx

OK = 200
_REPORT_SECONDS = 0.5
_TIMEOUT_SECONDS = 20.0  # the proxy answers within 15 s, be it with an error
_MOST_CONNECTIONS = 256  # a client waits for the service, never for another client
_MOST_BEHIND_SECONDS = 1.0
_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Moment:
    """One row to send.

    Attributes:
        asked_at: The simulated time at which the client asks.
        fields: The request's fields, JSON values.
        outcome: 0 or 1, or None where there never is one (a cancelled flight).
        known_at: The simulated time at which the outcome is known.
    """

    asked_at: datetime
    fields: dict[str, Any]
    outcome: int | None
    known_at: datetime | None


@dataclass
class Tally:
    """What the client saw.

    Attributes:
        sent: Requests answered or failed.
        failed: Requests that got no answer or another status than 200, by the reason.
        feedback: Outcomes delivered.
        by_digest: Answers by the digest of the model that gave them.
        simulated: The simulated time.
        slowest_seconds: The longest that a client waited.
        behind_seconds: By how much the sending fell behind its rate, because this machine had no time for it.
    """

    sent: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    feedback: int = 0
    by_digest: Counter[str] = field(default_factory=Counter)
    simulated: datetime = _NEVER
    slowest_seconds: float = 0.0
    behind_seconds: float = 0.0

    def to_json(self) -> str:
        """The tally as JSON."""
        return json.dumps({
            "sent": self.sent, "failed": dict(self.failed), "feedback": self.feedback,
            "by_digest": dict(self.by_digest), "simulated": self.simulated.isoformat(),
            "behind_seconds": round(self.behind_seconds, 2), "slowest_seconds": round(self.slowest_seconds, 4),
        })  # fmt: skip


class Client:
    """Sends moments to one service, open loop: a slow answer does not hold back the next request."""

    def __init__(
        self, url: str, service: str, advance: Callable[[datetime], None], report: Path, host: str = ""
    ) -> None:
        """Prepares a client.

        Args:
            url: The address under which all services answer: `http://127.0.0.1:8080`.
            service: The service's name.
            advance: Is told the simulated time before a request is sent.
            report: The file that the tally is written to.
            host: The host name by which a gateway at that address knows the service; by default the address's own.
        """
        self._headers = {"Host": host} if host else {}
        self._predict = f"{url}/v1/models/{service}:predict"
        self._feedback = f"{url}/v1/models/{service}:feedback"
        self._advance = advance
        self._report = report
        self._outcomes: list[tuple[datetime, str, int]] = []
        self._running: set[asyncio.Task[None]] = set()
        self.tally = Tally()

    async def run(self, moments: Iterator[Moment], per_second: float, stop: asyncio.Event) -> Tally:
        """Sends until the moments end or it is told to stop, then waits for the answers still out.

        Args:
            moments: Rows in the order of time.
            per_second: Requests per second of real time.
            stop: Ends the sending when set.

        Returns:
            The final tally, also written to the report.
        """
        limits = httpx.Limits(max_connections=_MOST_CONNECTIONS, max_keepalive_connections=64)
        async with httpx.AsyncClient(
            headers=self._headers, timeout=_TIMEOUT_SECONDS, limits=limits, trust_env=False
        ) as http:
            reporting = asyncio.create_task(self._report_now_and_then())
            await self._send(http, moments, per_second, stop)
            await asyncio.gather(*self._running)
            self._deliver(self.tally.simulated, http)  # of answers that were still out
            await asyncio.gather(*self._running)
            reporting.cancel()
        self._write(self.tally.to_json())
        return self.tally

    async def _send(
        self, http: httpx.AsyncClient, moments: Iterator[Moment], per_second: float, stop: asyncio.Event
    ) -> None:
        first = next(moments, None)  # reads the rows; the clock starts after it
        due = time.monotonic()
        for number, moment in enumerate(chain([first] if first else [], moments)):
            due += 1 / per_second
            late = time.monotonic() - due
            if late > _MOST_BEHIND_SECONDS:  # a burst to catch up would be another load than the one asked for
                self.tally.behind_seconds += late
                due += late
            await asyncio.sleep(max(0.0, -late))
            if stop.is_set():
                return
            self._at(moment.asked_at, http)
            self._spawn(self._ask(http, number, moment))

    async def _report_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            await asyncio.to_thread(self._write, self.tally.to_json())

    def _write(self, content: str) -> None:
        """Replaces the report; not synced to disk, as it is worth nothing after a crash and a sync may take long."""
        fresh = self._report.with_suffix(".new")
        fresh.write_text(content)
        fresh.replace(self._report)

    def _at(self, now: datetime, http: httpx.AsyncClient) -> None:
        self.tally.simulated = now
        self._advance(now)
        self._deliver(now, http)

    def _deliver(self, now: datetime, http: httpx.AsyncClient) -> None:
        while self._outcomes and self._outcomes[0][0] <= now:
            _, request_id, outcome = heapq.heappop(self._outcomes)
            self._spawn(self._tell(http, request_id, outcome))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _ask(self, http: httpx.AsyncClient, number: int, moment: Moment) -> None:
        request_id, started = f"replay-{number}-{time.time_ns():x}", time.monotonic()
        try:
            answer = await http.post(
                self._predict, json={"instances": [moment.fields]}, headers={"x-request-id": request_id}
            )
        except httpx.HTTPError as error:
            self.tally.failed[type(error).__name__] += 1
        else:
            self._count(answer)
            if answer.status_code == OK and moment.outcome is not None and moment.known_at is not None:
                heapq.heappush(self._outcomes, (moment.known_at, request_id, moment.outcome))
        self.tally.sent += 1
        self.tally.slowest_seconds = max(self.tally.slowest_seconds, time.monotonic() - started)

    def _count(self, answer: httpx.Response) -> None:
        if answer.status_code != OK:
            self.tally.failed[f"status {answer.status_code}: {answer.text[:200]}"] += 1
        self.tally.by_digest[answer.headers.get("x-fairlead-digest", "none")] += 1

    async def _tell(self, http: httpx.AsyncClient, request_id: str, outcome: int) -> None:
        try:
            answer = await http.post(self._feedback, json={"request_id": request_id, "row": 0, "outcome": outcome})
        except httpx.HTTPError:
            return  # feedback is late by nature; a lost one is one outcome less to judge by, not a failed client
        self.tally.feedback += answer.status_code < 300  # noqa: PLR2004 (any success)

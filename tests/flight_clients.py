"""Passengers' clients of the flights service behind a gateway, with flights that no model has seen."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from fairlead.features.compute_features.task import compute_features
from fairlead.platform.kubeflow.services import ServiceRecord
from fairlead_pipelines.replay import client, rows

SETTLE_SECONDS = 3.0  # the record is written before the gateway follows it


@dataclass(frozen=True)
class Look:
    """What was asked for and what had been answered at one moment."""

    at: float
    asked: tuple[str, float]
    answered: Counter[str]


@dataclass(frozen=True)
class Share:
    """What clients saw while one split was asked for.

    Attributes:
        canary: The digest on trial.
        percent: Its share, as asked for.
        canary_requests: What it answered.
        requests: What was answered in all.
    """

    canary: str
    percent: float
    canary_requests: int
    requests: int


class FlightClients:
    """Clients that send unseen flights at a steady rate, without retries, until they are told to stop."""

    def __init__(
        self, gateway: str, record: Callable[[], ServiceRecord], moments: Any, report: Path, per_second: float
    ) -> None:
        found = record()
        self._record, self._moments, self._per_second = record, moments, per_second
        self._client = client.Client(gateway, found.name, lambda _: None, report, host=found.host)
        self._looks: list[Look] = []
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._watch)]

    @property
    def tally(self) -> client.Tally:
        """What the clients saw."""
        return self._client.tally

    def start(self) -> None:
        """Begins to send, if that was not done yet."""
        if not self._threads[0].ident:
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """Ends; every request that was sent has been answered or has failed."""
        if self._threads[0].ident:
            self._loop.call_soon_threadsafe(self._stop.set)
            for thread in self._threads:
                thread.join(120)
                assert not thread.is_alive()
        self._loop.close()

    def _send(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._client.run(self._moments, self._per_second, self._stop))

    def _watch(self) -> None:
        while not self._stop.is_set():
            found = self._record()
            asked = (found.canary or "", found.canary_percent if not found.shadow_percent else 0.0)
            self._looks.append(Look(time.monotonic(), asked, Counter(self.tally.by_digest)))
            time.sleep(0.2)

    def shares(self) -> list[Share]:
        """Each split that was asked for, in order, and what clients saw of it once the gateway had it."""
        found = []
        changes = [
            0,
            *(i + 1 for i, (a, b) in enumerate(pairwise(self._looks)) if a.asked != b.asked),
            len(self._looks),
        ]
        for begin, end in pairwise(changes):
            looks = self._looks[begin:end]
            settled = [look for look in looks if look.at >= looks[0].at + SETTLE_SECONDS]
            canary, percent = looks[0].asked
            if canary and percent and settled:
                seen = settled[-1].answered - settled[0].answered
                found.append(Share(canary, percent, seen[canary], seen.total()))
        return found


def unseen_flights(values: dict[str, Any], tables: list[Path], folder: Path, begin: str, until: str) -> Any:
    """The flights from a moment on, in the order in which clients ask, each with its outcome.

    Args:
        values: The problem, as `load_problem` gives it.
        tables: The ingested datasets.
        folder: Where to keep what is made of them.
        begin: The first moment of asking.
        until: The moment after which nothing is looked at.
    """
    from datetime import UTC, datetime

    features = values["features"]
    compute_features(
        tables, folder / "features", folder / "rows", queries=features["queries"],
        entity_rows_query=features["entity_rows"], as_of=until,
    )  # fmt: skip
    source = rows.Source(folder / "rows", folder / "features")
    return rows.moments(source, values, datetime.fromisoformat(begin).replace(tzinfo=UTC))

"""Progress of long work: JSON lines to the file that FAIRLEAD_EVENTS names, otherwise lines in the log."""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EVENTS_VARIABLE = "FAIRLEAD_EVENTS"
_SECONDS_BETWEEN_EVENTS = 0.25
_SECONDS_BETWEEN_LOG_LINES = 10.0

logger = logging.getLogger(__name__)


class Step:
    """One piece of long work; tells how far it is."""

    def __init__(self, description: str, total: float | None) -> None:
        self.description = description
        self.total = total
        self.done = 0.0
        self.figures: dict[str, float] = {}
        self._last = 0.0

    def advance(self, amount: float = 1) -> None:
        """Adds to what is done."""
        self.update(self.done + amount)

    def update(self, done: float, total: float | None = None, **figures: float) -> None:
        """Sets what is done.

        Args:
            done: Units done.
            total: Units in all, where it has changed.
            **figures: Numbers worth showing beside it, such as a loss.
        """
        self.done, self.total = done, self.total if total is None else total
        self.figures.update({name: float(value) for name, value in figures.items()})
        self.tell()

    def tell(self, *, now: bool = False) -> None:
        """Reports, unless a report was made just before; `now` reports in any case."""
        moment, path = time.monotonic(), os.environ.get(EVENTS_VARIABLE)
        if now or moment - self._last >= (_SECONDS_BETWEEN_EVENTS if path else _SECONDS_BETWEEN_LOG_LINES):
            self._last = moment
            event = {"step": self.description, "done": self.done, "total": self.total, "figures": self.figures}
            if path:
                emit(event)
            else:
                logger.info("%s", _line(event))


@contextmanager
def step(description: str, total: float | None = None) -> Iterator[Step]:
    """Reports one piece of long work from its start to its end.

    Args:
        description: What is being done: `training`.
        total: Units in all, if known.

    Yields:
        The step, to be advanced or updated.
    """
    current = Step(description, total)
    current.tell(now=True)
    yield current
    current.tell(now=True)


def emit(event: dict[str, Any]) -> None:
    """Appends one event to the file that FAIRLEAD_EVENTS names; does nothing where it names none."""
    path = os.environ.get(EVENTS_VARIABLE)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:  # one short line: appended in one write
            file.write(json.dumps({"time": time.time(), **event}) + "\n")


def _line(event: dict[str, Any]) -> str:
    share = f" {event['done']:g} of {event['total']:g}" if event["total"] else f" {event['done']:g}"
    figures = "".join(f" {name}={value:.4g}" for name, value in event["figures"].items())
    return f"{event['step']}{share}{figures}"

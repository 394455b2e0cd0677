"""The training's end of its companion: starts it, tells it, and does without it when it fails."""

import json
import logging
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairlead.training.tracking import Tracked

_SECONDS_FOR_ENERGY = 20.0
_SECONDS_FOR_TRACKING = 90.0

logger = logging.getLogger(__name__)


class Beside:
    """A companion process, or nothing where neither energy nor tracking is wanted."""

    def __init__(self, process: "subprocess.Popen[str] | None") -> None:
        """Wraps the process."""
        self.process = process
        self.closed = False

    def begin(self) -> None:
        """Says that training begins."""
        self.tell({"do": "begin"})

    def end(self, seconds: float) -> dict[str, Any]:
        """Says that training ended, after so many seconds.

        Returns:
            The energy (`EnergyMeter.end`); empty where it was not measured.
        """
        self.tell({"do": "end", "seconds": seconds})
        answer = self._answer()
        return dict(json.loads(answer)) if answer else {}

    def close(self, status: str, final: Mapping[str, Any]) -> None:
        """Ends the tracking run; see `TrackingRun.finish`."""
        self.closed = True
        self.tell({"do": "close", "status": status, **final})
        if self.process is None:
            return
        self._hang_up(self.process)
        try:
            self.process.wait(_SECONDS_FOR_TRACKING)
        except subprocess.TimeoutExpired:
            logger.warning("the tracking server took longer than %g s: the run may lack figures", _SECONDS_FOR_TRACKING)
            self.process.kill()
            self.process.wait()

    def tell(self, command: dict[str, Any]) -> None:
        """Sends a command; without a companion that listens, nothing happens."""
        if self.process is None or self.process.stdin is None:
            return
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self._give_up()

    def _answer(self) -> str:
        if self.process is None or self.process.stdout is None:
            return ""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(_SECONDS_FOR_ENERGY) else ""
        if not line:
            self._give_up()
        return line

    def _give_up(self) -> None:
        logger.warning("the companion process ended early: energy and tracking of this training are incomplete")
        if self.process is not None:
            self.process.kill()
            self._hang_up(self.process)
            self.process.wait()
            self.process = None

    @staticmethod
    def _hang_up(process: "subprocess.Popen[str]") -> None:
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()


@contextmanager
def beside(work: Path, tracked: Tracked | None, country: str) -> Iterator[Beside]:
    """Runs a companion process for a while.

    Args:
        work: The training's work folder.
        tracked: What to track in MLflow; None for nothing.
        country: Whose electricity it is, to measure energy; empty not to.

    Yields:
        Its handle; a block that raises ends the run as failed.
    """
    if tracked is None and not country:
        yield Beside(None)
        return
    command = [sys.executable, "-W", "ignore", "-m", "fairlead.training.companion", str(work)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        handle = Beside(process)
        handle.tell({"do": "open", "tracked": asdict(tracked) if tracked else None, "country": country})
        try:
            yield handle
        except BaseException:
            handle.close("FAILED", {})
            raise
        finally:
            if not handle.closed:
                handle.close("FINISHED", {})

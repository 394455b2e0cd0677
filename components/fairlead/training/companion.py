"""The process beside a training that measures its energy and tracks it in MLflow, so that neither can harm it.

python -m fairlead.training.companion WORK

It reads commands from its input, one JSON object a line: `open` (what to do), `begin`, `end` (answered by one line
with the energy), `close`. An input that ends without `close` means that the training was killed. What goes wrong here
is said in a warning, and training goes on.
"""

import json
import logging
import os
import queue
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from fairlead.errors import FairleadError
from fairlead.training.energy import EnergyMeter
from fairlead.training.tracking import Tracked, TrackingRun

_NICENESS = 5
_SECONDS_BETWEEN_FLUSHES = 3.0

Command = dict[str, Any]

logger = logging.getLogger(__name__)


class Tracker(threading.Thread):
    """Tracks from a thread, because a server may be slow to answer while the meter is asked to stop."""

    def __init__(self, tracked: Tracked, work: Path) -> None:
        """Makes the thread of one run."""
        super().__init__(name="tracker", daemon=True)
        self.tracked, self.work = tracked, work
        self.last: queue.Queue[Command] = queue.Queue()

    def run(self) -> None:
        """Sends what is new every few seconds, then the last command's figures."""
        try:
            self._track()
        except (FairleadError, OSError, ValueError) as error:
            logger.warning("this training is not tracked in MLflow: %s", error)

    def _track(self) -> None:
        run = TrackingRun(self.tracked, self.work)
        while True:
            try:
                command = self.last.get(timeout=_SECONDS_BETWEEN_FLUSHES)
            except queue.Empty:
                run.flush()
                continue
            run.finish(command["status"], command)
            return


class Companion:
    """Does what the commands say."""

    def __init__(self, work: Path) -> None:
        """Begins with nothing to do."""
        self.work = work
        self.meter: EnergyMeter | None = None
        self.tracker: Tracker | None = None

    def do(self, command: Command) -> None:
        """Does one command."""
        match command["do"]:
            case "open":
                self._open(command)
            case "begin" if self.meter is not None:
                self.meter.begin()
            case "end":
                answer = self.meter.end(command["seconds"]) if self.meter is not None else {}
                sys.stdout.write(json.dumps(answer) + "\n")
                sys.stdout.flush()
            case "close":
                self.close(command)

    def _open(self, command: Command) -> None:
        if command["tracked"] is not None:
            self.tracker = Tracker(Tracked(**command["tracked"]), self.work)
        if command["country"]:
            self.meter = EnergyMeter(command["country"])
        if self.tracker is not None:
            self.tracker.start()  # after the meter is ready: imports in two threads take longer than one after another

    def close(self, command: Command) -> None:
        """Ends the tracking run, once."""
        if self.tracker is not None:
            self.tracker.last.put(command)
            self.tracker.join()
            self.tracker = None


def main(work: Path) -> None:
    """Serves one training."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    warnings.simplefilter("ignore")
    os.nice(_NICENESS)
    companion = Companion(work)
    for line in sys.stdin:
        companion.do(json.loads(line))
    companion.close({"status": "KILLED"})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

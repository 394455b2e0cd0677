"""A process that runs trials for a search: it imports the recipe's libraries once and trains many times.

python -m fairlead.tuning.worker

It reads JSON lines from its standard input (first the inputs, then the values of one trial after another) and writes
JSON lines to its standard output; whatever libraries print goes to standard error. It ends with its standard input:
when the search ends, or is killed.
"""

import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from fairlead.errors import FairleadError
from fairlead.tuning.search import TRIAL_ERRORS, Figures, TrialStopped, explain
from fairlead.tuning.trials import Inputs, Trainer

Lines = Iterator[Any]


def main() -> None:
    """Serves trials until the input ends."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as channel:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        lines = read_lines(sys.stdin)
        first = next(lines)
        pin(first["cores"])
        try:
            trainer = Trainer(Inputs.of(first["inputs"]))
        except FairleadError as error:
            send(channel, {"refused": str(error), "kind": type(error).__name__})
            return
        send(channel, {"ready": True})
        for line in lines:
            run_trial(trainer, line["values"], lines, channel)


def run_trial(trainer: Trainer, values: dict[str, Any], lines: Lines, channel: TextIO) -> None:
    """Trains once, telling each epoch and the end."""

    def hear(figures: Figures) -> None:
        send(channel, {"epoch": dict(figures)})
        if trainer.inputs.tuning.stops_early and next(lines)["stop"]:
            raise TrialStopped

    try:
        kept = trainer(values, hear)
    except TrialStopped:
        send(channel, {"stopped": True})
    except TRIAL_ERRORS as error:
        send(channel, {"failed": explain(error)})
    else:
        send(channel, {"kept": dict(kept)})


def pin(cores: list[int]) -> None:
    """Keeps to some of the cores, so that a recipe which takes all that it sees does not crowd out the others."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def send(channel: TextIO, message: dict[str, Any]) -> None:
    """Writes one message; figures that are not finite pass as JSON's usual extension."""
    channel.write(json.dumps(message) + "\n")
    channel.flush()


def read_lines(source: TextIO) -> Lines:
    """Reads messages in a thread of its own, which ends the process with the input: nobody would hear the trial's end.

    Args:
        source: Standard input.

    Yields:
        The messages.
    """
    messages: queue.Queue[Any] = queue.Queue()

    def read() -> None:
        for line in source:
            messages.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield messages.get()


if __name__ == "__main__":
    main()

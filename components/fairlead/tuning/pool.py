"""Trials in processes of their own: as many workers as may run at once, led by the one process that knows the study."""

import json
import logging
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Any, cast

from fairlead import errors, progress
from fairlead.errors import FairleadError, PlatformError
from fairlead.tuning.search import Running, Search
from fairlead.tuning.trials import Inputs

GRACE_SECONDS = 30  # beyond trial_seconds, which a worker itself keeps between two batches
_ENDING_SECONDS = 5
_LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Worker:
    """One process, as its leader sees it."""

    def __init__(self, number: int, inputs: Inputs, cores: Sequence[int]) -> None:
        """Starts the process; it is ready when it says so."""
        self.number, self.ready, self.running = number, False, cast("Running | None", None)
        self._rest = b""
        environment = {key: value for key, value in os.environ.items() if key != progress.EVENTS_VARIABLE}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fairlead.tuning.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=environment, start_new_session=True,  # ctrl-C is the leader's business
        )  # fmt: skip
        self.send({"inputs": json.loads(inputs.as_json()), "cores": list(cores)})

    @property
    def output(self) -> IO[bytes]:
        """Where its messages come from."""
        return cast("IO[bytes]", self.process.stdout)

    def send(self, message: dict[str, Any]) -> None:
        """Writes one message; a dead worker is noticed where its messages end."""
        try:
            stdin = cast("IO[bytes]", self.process.stdin)
            stdin.write(json.dumps(message).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            logger.debug("worker %d no longer reads", self.number)

    def receive(self) -> list[dict[str, Any]] | None:
        """The messages that have come; None when no more will."""
        chunk = os.read(self.output.fileno(), 1 << 16)
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def overdue(self, seconds: float) -> bool:
        """Whether its trial has run for so long that it must hang."""
        return self.running is not None and time.monotonic() - self.running.started > seconds

    def end(self) -> int:
        """Ends the process, and waits for it.

        Returns:
            Its exit code; -9 where it was killed.
        """
        self.process.kill()
        code = self.process.wait(_ENDING_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with ExitStack() as quiet:
                    quiet.push(lambda kind, *_: kind is not None and issubclass(kind, BrokenPipeError))
                    pipe.close()
        return code


def run_in_workers(search: Search, inputs: Inputs, count: int) -> None:
    """Runs trials in worker processes until the search is over.

    Args:
        search: The search.
        inputs: What trials look at.
        count: The workers.

    Raises:
        FairleadError: What the first worker refused: the data or the sections will not do.
        PlatformError: Workers die before they are ready.
    """
    with Pool(search, inputs, count).opened() as pool:
        pool.run()


def cores_of(number: int, count: int) -> list[int]:
    """The cores that one of so many workers keeps to; empty where they cannot be told."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    return cores[number % len(cores) :: count] if count <= len(cores) else [cores[number % len(cores)]]


class Pool:
    """The workers of one search."""

    def __init__(self, search: Search, inputs: Inputs, count: int) -> None:
        """Prepares; see `run_in_workers`."""
        self.search, self.inputs, self.count = search, inputs, count
        self.selector = selectors.DefaultSelector()

    @contextmanager
    def opened(self) -> Iterator["Pool"]:
        """Starts the workers, and ends them whatever happens."""
        try:
            for number in range(self.count):
                self._hire(number)
            yield self
        finally:
            for worker in self._workers():
                worker.end()
            self.selector.close()

    def run(self) -> None:
        """Gives trials to whoever is free until the search is over and nobody is at one."""
        while self._give():
            for key, _ in self.selector.select(_LOOK_SECONDS):
                self._listen(cast("Worker", key.data))
            for worker in self._workers():
                if worker.overdue(self.inputs.tuning.trial_seconds + GRACE_SECONDS):
                    self._replace(worker, "its process did not end in time and was killed", hopeless=True)

    def _give(self) -> bool:
        """Gives out what there is to give; whether anything is still to be waited for."""
        for worker in self._workers():
            if worker.ready and worker.running is None and not self.search.over():
                worker.running = self.search.start(worker.number)
                worker.send({"values": worker.running.asked.values})
        return bool(self.search.running) or not self.search.over()

    def _hire(self, number: int) -> None:
        worker = Worker(number, self.inputs, cores_of(number, self.count))
        self.selector.register(worker.output, selectors.EVENT_READ, worker)

    def _workers(self) -> list[Worker]:
        return [cast("Worker", key.data) for key in list(self.selector.get_map().values())]

    def _listen(self, worker: Worker) -> None:
        messages = worker.receive()
        if messages is None:
            self._replace(worker, "its process died")
        for message in messages or []:
            self._take(worker, message)

    def _take(self, worker: Worker, message: dict[str, Any]) -> None:
        match message:
            case {"ready": _}:
                worker.ready = True
            case {"refused": text, "kind": kind}:
                raise getattr(errors, kind, FairleadError)(text)
            case {"epoch": figures} if worker.running:
                stop = self.search.hear(worker.running, figures)
                if self.search.refused is not None:
                    self.search.stop(worker.running)
                if self.inputs.tuning.stops_early:
                    worker.send({"stop": stop})
            case {"kept": figures} if worker.running:
                self.search.succeed(worker.running, figures)
                worker.running = None
            case {"stopped": _} if worker.running:
                self.search.stop(worker.running)
                worker.running = None
            case {"failed": text} if worker.running:
                self.search.fail(worker.running, text)
                worker.running = None

    def _replace(self, worker: Worker, reason: str, *, hopeless: bool = False) -> None:
        """Takes a dead worker's trial back, and hires another in its place."""
        self.selector.unregister(worker.output)
        code = worker.end()
        if not worker.ready:
            raise PlatformError(f"a worker of the search ended with {code} before it was ready; its output is above")
        running, worker.running = worker.running, None
        text = f"{reason} (exit code {code})"
        if running is not None:
            (self.search.fail if hopeless else self.search.lose)(running, text)
        self._hire(worker.number)

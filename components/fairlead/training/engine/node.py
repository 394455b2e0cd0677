"""One node of a training in a cluster: the program of a TrainJob's pods.

python -m fairlead.training.engine.node

Kubeflow Trainer sets PET_NNODES, PET_NPROC_PER_NODE, PET_NODE_RANK, PET_MASTER_ADDR and PET_MASTER_PORT, which torchrun
reads by itself; FAIRLEAD_TRAINING names the training's folder in the object store. The node fetches job and datasets,
the first one the snapshots too; it runs torchrun, and the first one stores snapshots and progress as they are made, at
the end the result. It ends with 78 where another attempt would end alike, so that none is made.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from fairlead.errors import (
    BudgetError,
    ConfigurationError,
    DataError,
    FairleadError,
    PlatformError,
    SchemaError,
    SourceError,
)
from fairlead.objects import Objects
from fairlead.progress import EVENTS_VARIABLE
from fairlead.settings import settings
from fairlead.training.job import Job
from fairlead.training.job_store import JobStore
from fairlead.training.stored_data import fetch_dataset
from fairlead.training.train_pod import STORE

HOPELESS = 78  # sysexits' EX_CONFIG: the runtime's podFailurePolicy makes no further attempt at it
NO_RETRY = (BudgetError, ConfigurationError, DataError, SchemaError, SourceError)
_SYNC_SECONDS = 1.0
_ADDRESS_SECONDS = 600.0

logger = logging.getLogger(__name__)


class Node:
    """One node."""

    def __init__(self, store: JobStore, work: Path, rank: int) -> None:
        """Wraps the training's folders, in the store and here."""
        self.store, self.work, self.rank = store, work, rank
        self.events, self.job_file = work / "events.jsonl", work / "job.json"
        self.process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()

    def run(self) -> int:
        """Trains.

        Returns:
            The exit code.
        """
        keep = self.prepare()
        syncing = threading.Thread(target=self._sync, args=(keep,), daemon=True)
        if self.rank == 0:
            syncing.start()
        code = self._train()
        self._stopping.set()
        if self.rank == 0:
            syncing.join()
            self.sync(keep)
        return self.end(code)

    def prepare(self) -> int:
        """Fetches what training needs.

        Returns:
            How many snapshots are kept.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        content = self.store.read_job()
        for role, uri in content.pop("data").items():
            fetch_dataset(self.store.objects, uri, Path(content[role]))
        self.job_file.write_text(json.dumps(content))
        job = Job.read(self.job_file)
        job.recipe()
        if self.rank == 0:
            self.store.fetch_snapshots(self.work)
            self.store.fetch_notes(self.work)
        return job.spec.keep_snapshots

    def _train(self) -> int:
        """Runs torchrun, which reads PET_…; it dies with this process."""
        wait_for(os.environ.get("PET_MASTER_ADDR", ""), _ADDRESS_SECONDS)
        command = [
            sys.executable, "-W", "ignore", "-m", "fairlead.training.engine.agent", "-m", "fairlead.training.engine",
            str(self.job_file),
        ]  # fmt: skip
        environment = {**os.environ, "FAIRLEAD_PARENT": str(os.getpid()), EVENTS_VARIABLE: str(self.events)}
        self.process = subprocess.Popen(command, env=environment)
        return self.process.wait()

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Ends training, and with it the node; the first process of a container hears no signal by itself."""
        if self.process is not None:
            self.process.terminate()

    def _sync(self, keep: int) -> None:
        while not self._stopping.wait(_SYNC_SECONDS):
            self.sync(keep)

    def sync(self, keep: int) -> None:
        """Stores what is new; what cannot be stored now is tried again later, and training goes on."""
        try:
            self.store.send_snapshots(self.work, keep)
            self.store.send_notes(self.work)
            event = last_event(self.events)
            if event:
                self.store.write_progress(event)
        except FairleadError as error:
            logger.warning("snapshots and progress could not be stored now: %s", error)

    def end(self, code: int) -> int:
        """Stores the result, or the reason.

        Returns:
            The exit code of the node.
        """
        told = sorted(self.work.glob("error-*.json"), key=lambda path: path.stat().st_mtime_ns)
        for path in told:
            content = json.loads(path.read_text())
            path.unlink()
            self.store.write_error(content["kind"], content["text"])
            if content["kind"] in {kind.__name__ for kind in NO_RETRY}:
                return HOPELESS
        if code == 0 and self.rank == 0:
            self.store.send_result(self.work)
        if told:
            return 1
        return code if code >= 0 else 128 - code


def last_event(path: Path) -> dict[str, Any]:
    """The newest progress of training; empty where there is none."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for line in reversed(lines):
        if line.endswith("\n"):
            event: dict[str, Any] = json.loads(line)
            if event.get("step") == "training":
                return event
    return {}


def wait_for(host: str, seconds: float) -> None:
    """Waits until a name is known: the first node's, which its Service has only once its pod is there.

    Raises:
        PlatformError: It is not known in time.
    """
    deadline = time.monotonic() + seconds
    while host:
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"the first node {host} has had no address for {seconds:.0f} s ({error}); does its pod run, and "
                    "may pods of this namespace ask for names?"
                ) from None
            time.sleep(0.5)
            continue
        return


def main() -> int:
    """Runs this node; the exit status says whether all went well."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    rank = int(os.environ.get("PET_NODE_RANK", "0"))
    store: JobStore | None = None
    try:
        store = JobStore(Objects.connect(), os.environ[STORE])
        node = Node(store, settings().work_home / "training", rank)
        signal.signal(signal.SIGTERM, node.stop)
        return node.run()
    except FairleadError as error:
        logger.error("%s", error)  # noqa: TRY400 (its text is for the user)
        hopeless = isinstance(error, NO_RETRY)
        if store is not None and hopeless:
            store.write_error(type(error).__name__, str(error))
        return HOPELESS if hopeless else 1


if __name__ == "__main__":
    sys.exit(main())

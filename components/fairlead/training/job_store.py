"""A training in the object store: what its pods need, what they leave, and from where they go on.

Below s3://…/training/DIGEST: `job.json`, `snapshots/NUMBER/` (the last few), `progress.json`, `trace.jsonl`,
`spent.json`, `error.json` of a process that cannot go on, and at the end `result/`, a finished checkpoint.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairlead import errors
from fairlead.errors import FairleadError, PlatformError, SourceError
from fairlead.objects import Objects
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.engine import trace
from fairlead.training.engine.__main__ import RESULT
from fairlead.training.progress import SPENT

JOB, ERROR, PROGRESS, SNAPSHOTS = "job.json", "error.json", "progress.json", "snapshots"
NOTES = (SPENT, trace.FILE)  # small files of the work folder that an attempt to come, or the follower, needs

logger = logging.getLogger(__name__)


class JobStore:
    """One training's folder in the object store."""

    def __init__(self, objects: Objects, uri: str) -> None:
        """Wraps s3://…/training/DIGEST."""
        self.objects, self.uri = objects, uri.rstrip("/")
        self._sent: dict[str, bytes] = {}

    def write_job(self, content: Mapping[str, Any]) -> None:
        """Stores what is to be trained; what an earlier attempt said of its end is no longer true."""
        self.objects.remove(f"{self.uri}/{ERROR}")
        self.objects.write_bytes(f"{self.uri}/{JOB}", json.dumps(dict(content)).encode())

    def read_job(self) -> dict[str, Any]:
        """Reads what is to be trained."""
        content: dict[str, Any] = json.loads(self.objects.read_bytes(f"{self.uri}/{JOB}"))
        return content

    def send_snapshots(self, work: Path, keep: int) -> None:
        """Stores the snapshots that are not there yet, then removes those that are too old.

        Args:
            work: The training's work folder.
            keep: How many are kept: the newest.
        """
        folder = work / SNAPSHOTS
        stored = self.snapshots()
        local = sorted(f.name for f in folder.iterdir() if f.name.isdigit()) if folder.is_dir() else []
        for name in [name for name in local if name not in stored]:
            try:
                self.objects.upload_folder(folder / name, f"{self.uri}/{SNAPSHOTS}/{name}")
            except SourceError:  # training has removed it meanwhile: a newer one is there
                logger.debug("snapshot %s was removed while it was sent", name)
                continue
            stored.append(name)
        for old in sorted(stored)[:-keep]:
            self.objects.remove_folder(f"{self.uri}/{SNAPSHOTS}/{old}")

    def fetch_snapshots(self, work: Path) -> None:
        """Brings the snapshots of earlier attempts into the work folder."""
        for name in self.snapshots():
            self.objects.download_folder(f"{self.uri}/{SNAPSHOTS}/{name}", work / SNAPSHOTS / name)

    def snapshots(self) -> list[str]:
        """The whole snapshots' names, oldest first."""
        base = f"{self.uri}/{SNAPSHOTS}"
        names = {one.uri.removeprefix(f"{base}/").partition("/")[0] for one in self.objects.list(base)}
        return sorted(n for n in names if n.isdigit() and self.objects.find_folder(f"{base}/{n}") is not None)

    def send_notes(self, work: Path) -> None:
        """Stores the small files of the work folder that have changed."""
        for name in NOTES:
            path = work / name
            content = path.read_bytes() if path.is_file() else b""
            if content and self._sent.get(name) != content:
                self.objects.write_bytes(f"{self.uri}/{name}", content)
                self._sent[name] = content

    def fetch_notes(self, work: Path) -> None:
        """Brings the small files into the work folder, those that are there."""
        for name in NOTES:
            version = self.objects.find_version(f"{self.uri}/{name}")
            if version is not None and self._sent.get(name) != version.content:
                (work / name).write_bytes(version.content)
                self._sent[name] = version.content

    def write_progress(self, event: Mapping[str, Any]) -> None:
        """Stores how far training is."""
        self.objects.write_bytes(f"{self.uri}/{PROGRESS}", json.dumps(dict(event)).encode())

    def read_progress(self) -> dict[str, Any]:
        """How far training is; empty where it has not begun."""
        version = self.objects.find_version(f"{self.uri}/{PROGRESS}")
        return dict(json.loads(version.content)) if version is not None else {}

    def write_error(self, kind: str, text: str) -> None:
        """Stores why training cannot go on."""
        self.objects.write_bytes(f"{self.uri}/{ERROR}", json.dumps({"kind": kind, "text": text}).encode())

    def read_error(self) -> FairleadError | None:
        """Why training cannot go on; None where it can."""
        version = self.objects.find_version(f"{self.uri}/{ERROR}")
        if version is None:
            return None
        content = json.loads(version.content)
        error: FairleadError = getattr(errors, content["kind"], PlatformError)(content["text"])
        return error

    def send_result(self, work: Path) -> None:
        """Stores the finished checkpoint."""
        self.objects.upload_folder(work / RESULT, f"{self.uri}/{RESULT}")

    def fetch_result(self, work: Path) -> Checkpoint | None:
        """Brings the finished checkpoint; None where there is none."""
        if self.objects.find_folder(f"{self.uri}/{RESULT}") is None:
            return None
        self.objects.download_folder(f"{self.uri}/{RESULT}", work / RESULT)
        return Checkpoint.read(work / RESULT)

    def remove(self) -> None:
        """Removes all of it."""
        for name in (*self.snapshots(), ""):
            self.objects.remove_folder(f"{self.uri}/{SNAPSHOTS}/{name}".rstrip("/"))
        self.objects.remove_folder(f"{self.uri}/{RESULT}")
        self.objects.remove_folder(self.uri)

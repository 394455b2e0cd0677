"""Predictions joined with their outcomes, from the logs that the servers keep."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_MOST_REMEMBERED = 500_000  # predictions, and outcomes, that wait for their other half
Outcomes = dict[str, list[tuple[float, int]]]


class OutcomeReader:
    """Reads what was appended to a service's prediction and feedback logs.

    Args:
        folder: The folder of the logs.
        digests: The versions whose predictions count.
    """

    def __init__(self, folder: Path, digests: Sequence[str]) -> None:
        self.folder, self.digests = folder, tuple(digests)
        self._read: dict[str, int] = {}
        self._predictions: dict[tuple[str, int], list[tuple[str, float]]] = {}
        self._unmatched: dict[tuple[str, int], int] = {}

    def begin(self) -> dict[str, Any]:
        """Gives the cursor of now: what was logged before does not count."""
        sizes = {file.name: file.stat().st_size for file in sorted(self.folder.glob("*.jsonl"))}
        feedback = {name: size for name, size in sizes.items() if name.startswith("feedback-")}
        return {"from": {name: size for name, size in sizes.items() if name not in feedback}, "feedback": feedback}

    def read(self, cursor: Mapping[str, Any]) -> tuple[Outcomes, dict[str, Any]]:
        """Reads the outcomes that came in since a cursor, of predictions made since the first one.

        Args:
            cursor: What `begin` or an earlier reading gave; may be from another process.

        Returns:
            (probability, outcome) pairs by digest, and the next cursor.
        """
        self._read_predictions(cursor["from"])
        feedback = dict(cursor["feedback"])
        given = self._unmatched
        for file in sorted(self.folder.glob("feedback-*.jsonl")):
            entries, feedback[file.name] = _appended(file, feedback.get(file.name, 0))
            given |= {_key(entry): int(entry["outcome"]) for entry in entries if "outcome" in entry}
        found: Outcomes = {digest: [] for digest in self.digests}
        self._unmatched = {}
        for key, outcome in given.items():
            predictions = self._predictions.pop(key, None)
            if predictions is None:
                self._unmatched[key] = outcome  # its prediction may not have been written out yet
            for digest, probability in predictions or ():
                found[digest].append((probability, outcome))
        _forget(self._unmatched)
        return found, {"from": dict(cursor["from"]), "feedback": feedback}

    def _read_predictions(self, first: Mapping[str, int]) -> None:
        for file in sorted(self.folder.glob("predictions-*.jsonl")):
            start = self._read.get(file.name, first.get(file.name, 0))
            entries, self._read[file.name] = _appended(file, start)
            for entry in entries:
                if entry.get("digest") in self.digests and entry.get("probability") is not None:
                    made = self._predictions.setdefault(_key(entry), [])
                    made.append((entry["digest"], float(entry["probability"])))
        _forget(self._predictions)


def _key(entry: Mapping[str, Any]) -> tuple[str, int]:
    return str(entry.get("request_id")), int(entry.get("row", 0))


def _appended(file: Path, start: int) -> tuple[list[dict[str, Any]], int]:
    """The whole lines of a JSON lines file from a position on, and the position after them."""
    with file.open("rb") as stream:
        stream.seek(start)
        content = stream.read()
    whole = content[: content.rfind(b"\n") + 1]
    entries = []
    for line in whole.splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue  # a line cut off by a crash
    return [entry for entry in entries if isinstance(entry, dict)], start + len(whole)


def _forget(remembered: dict[Any, Any]) -> None:
    """Drops the oldest entries of what has grown too large."""
    for key in list(remembered)[: max(0, len(remembered) - _MOST_REMEMBERED)]:
        del remembered[key]

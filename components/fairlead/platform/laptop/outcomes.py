"""Predictions joined with their outcomes, from the logs that the servers keep."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.platform.target import Answer

_MOST_REMEMBERED = 500_000  # predictions, and outcomes, that wait for their other half
_OUTPUTS = ("probability", "prediction", "score")


@dataclass(frozen=True)
class Reading:
    """What came in between two readings.

    Attributes:
        outcomes: (probability, outcome) by digest, of predictions whose outcome came in.
        scores: Predictions made, by digest; of several classes the largest probability.
        pairs: Answers of all versions, by digest, to rows that each of them has now answered.
    """

    outcomes: dict[str, list[tuple[float, int]]]
    scores: dict[str, list[float]]
    pairs: list[dict[str, Answer]]


class OutcomeReader:
    """Reads what was appended to a service's prediction and feedback logs.

    Args:
        folder: The folder of the logs.
        digests: The versions whose predictions count.
    """

    def __init__(self, folder: Path, digests: Sequence[str]) -> None:
        self.folder, self.digests = folder, tuple(digests)
        self._read: dict[str, int] = {}
        self._predictions: dict[tuple[str, int], dict[str, Answer]] = {}
        self._unmatched: dict[tuple[str, int], Any] = {}

    def begin(self) -> dict[str, Any]:
        """Gives the cursor of now: what was logged before does not count."""
        sizes = {file.name: file.stat().st_size for file in sorted(self.folder.glob("*.jsonl"))}
        feedback = {name: size for name, size in sizes.items() if name.startswith("feedback-")}
        return {"from": {name: size for name, size in sizes.items() if name not in feedback}, "feedback": feedback}

    def read(self, cursor: Mapping[str, Any]) -> tuple[Reading, dict[str, Any]]:
        """Reads what came in since a cursor: outcomes of predictions made since the first one, and predictions.

        Args:
            cursor: What `begin` or an earlier reading gave; may be from another process.

        Returns:
            What came in, and the next cursor.
        """
        scores, pairs = self._read_predictions(cursor["from"])
        feedback = dict(cursor["feedback"])
        given = self._unmatched
        for file in sorted(self.folder.glob("feedback-*.jsonl")):
            entries, feedback[file.name] = _appended(file, feedback.get(file.name, 0))
            given |= {_key(entry): entry["outcome"] for entry in entries if "outcome" in entry}
        found: dict[str, list[tuple[float, int]]] = {digest: [] for digest in self.digests}
        self._unmatched = {}
        for key, outcome in given.items():
            predictions = self._predictions.pop(key, None)
            if predictions is None:
                self._unmatched[key] = outcome  # its prediction may not have been written out yet
            for digest, answer in (predictions or {}).items():
                if isinstance(answer, float) and outcome in (0, 1):  # a yes/no question
                    found[digest].append((answer, int(outcome)))
        _forget(self._unmatched)
        return Reading(found, scores, pairs), {"from": dict(cursor["from"]), "feedback": feedback}

    def _read_predictions(self, first: Mapping[str, int]) -> tuple[dict[str, list[float]], list[dict[str, Answer]]]:
        scores: dict[str, list[float]] = {digest: [] for digest in self.digests}
        pairs = []
        for file in sorted(self.folder.glob("predictions-*.jsonl")):
            start = self._read.get(file.name, first.get(file.name, 0))
            entries, self._read[file.name] = _appended(file, start)
            for entry in entries:
                answer = _answer(entry)
                if entry.get("digest") not in self.digests or answer is None:
                    continue
                scores[entry["digest"]].append(answer if isinstance(answer, float) else max(answer))
                made = self._predictions.setdefault(_key(entry), {})
                both = len(made)
                made[entry["digest"]] = answer
                if both < len(made) == len(self.digests) > 1:
                    pairs.append(dict(made))
        _forget(self._predictions)
        return scores, pairs


def _answer(entry: Mapping[str, Any]) -> Answer | None:
    """What a logged line says that the model answered."""
    value = next((entry[name] for name in _OUTPUTS if entry.get(name) is not None), None)
    if isinstance(value, list):
        return tuple(float(part) for part in value) or None
    return None if value is None else float(value)


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

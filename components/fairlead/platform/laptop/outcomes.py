"""Predictions joined with their outcomes while they come in, for who judges a canary: from the servers' logs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from fairlead.platform.target import Answer
from fairlead.predictions import Cursor, PredictionLog

_MOST_REMEMBERED = 500_000  # predictions, and outcomes, that wait for their other half
_OUTPUTS = ("probability", "prediction", "score")
_Key = tuple[str, int]


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
    """Reads what came into a service's prediction and feedback logs; what was read once is not read again.

    Args:
        location: Where the logs are: a folder, or s3://BUCKET/PREFIX.
        digests: The versions whose predictions count.
    """

    def __init__(self, location: Path | str, digests: Sequence[str]) -> None:
        self.digests = tuple(digests)
        self._log = PredictionLog.open(location)
        self._read: Cursor | None = None
        self._predictions: dict[_Key, dict[str, Answer]] = {}
        self._unmatched: dict[_Key, Any] = {}

    def begin(self) -> dict[str, Any]:
        """Gives the cursor of now: what was logged before does not count.

        Raises:
            SourceError: The logs cannot be read.
        """
        return {"from": self._log.end("predictions"), "feedback": self._log.end("feedback")}

    def read(self, cursor: Mapping[str, Any]) -> tuple[Reading, dict[str, Any]]:
        """Reads what came in since a cursor: outcomes of predictions made since the first one, and predictions.

        Args:
            cursor: What `begin` or an earlier reading gave; may be from another process.

        Returns:
            What came in, and the next cursor.

        Raises:
            SourceError: The logs cannot be read.
        """
        scores, pairs = self._read_predictions(cursor["from"])
        reported, feedback = self._log.feedback(cursor["feedback"])
        given = self._unmatched
        for key, outcome in _rows(reported, "outcome"):
            given.setdefault(key, outcome)  # the first report counts: it cannot be taken back from who has judged by it
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

    def _read_predictions(self, first: Cursor) -> tuple[dict[str, list[float]], list[dict[str, Answer]]]:
        scores: dict[str, list[float]] = {digest: [] for digest in self.digests}
        pairs = []
        table, self._read = self._log.predictions(self._read or first)
        for key, digest, answer in _answers(table):
            if digest not in self.digests:
                continue
            scores[digest].append(answer if isinstance(answer, float) else max(answer))
            made = self._predictions.setdefault(key, {})
            both = len(made)
            made[digest] = answer
            if both < len(made) == len(self.digests) > 1:
                pairs.append(dict(made))
        _forget(self._predictions)
        return scores, pairs


def _answers(table: pa.Table) -> Iterator[tuple[_Key, str, Answer]]:
    """What the rows of a log say that the models answered."""
    for name in _OUTPUTS:
        if name not in table.column_names:
            continue
        digests = table["digest"].to_pylist()
        for digest, (key, value) in zip(digests, _rows(table, name, keep_nulls=True), strict=True):
            parts = value if isinstance(value, list) else [] if value is None else [value]
            if parts:
                yield key, digest, float(parts[0]) if len(parts) == 1 else tuple(map(float, parts))


def _rows(table: pa.Table, name: str, *, keep_nulls: bool = False) -> Iterator[tuple[_Key, Any]]:
    """The values of a column with the request and row that each belongs to."""
    if name not in table.column_names:
        return
    columns = (table[column].to_pylist() for column in ("request_id", "row", name))
    for request_id, row, value in zip(*columns, strict=True):
        if keep_nulls or value is not None:
            yield (str(request_id), row or 0), value


def _forget(remembered: dict[Any, Any]) -> None:
    """Drops the oldest entries of what has grown too large."""
    for key in list(remembered)[: max(0, len(remembered) - _MOST_REMEMBERED)]:
        del remembered[key]

"""Prediction logs for tests, written by the server's own writer, of the package that `tiny_package` makes."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead_serving.answers import Answers
from fairlead_serving.log_lines import FeedbackLines, PredictionLines
from fairlead_serving.package import ModelPackage
from fairlead_serving.prediction_log import Journals
from fairlead_serving.query import Inputs, Query, Scored

MOMENT = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
ROW: Mapping[str, Any] = {"hour": 1.5, "distance": -0.5, "carrier": "DL", "origin": None}
VIEWS = {"routes": ["distance"], "carriers": ["carrier"]}


def log_predictions(
    folder: Path, package: ModelPackage, ids: Sequence[str], *, rows: int = 1, at: dt.datetime = MOMENT,
    stem: str = "w", stale: Sequence[str] = (), model: str = "flights",
) -> None:  # fmt: skip
    """Log one request per id, each of so many rows, a second after the other.

    The distance was looked up and is two hours old; the carrier was looked up and is unknown.
    """
    form = PredictionLines(model, package.digest, package.manifest)
    folder.mkdir(parents=True, exist_ok=True)
    journals = Journals(folder, f"{package.digest[7:19]}-{stem}", lambda: form.schema)
    columns = {name: [value] * rows for name, value in ROW.items()}
    outputs = Answers(package.manifest).decide(package.predict(columns))
    for number, request_id in enumerate(ids):
        moment = at.timestamp() + number
        query = Query("v1", request_id, {}, rows, received=moment, traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
        times = {"routes": [int(moment) - 7200] * rows, "carriers": [0] * rows}
        inputs = Inputs(columns, rows, [moment] * rows, [list(stale)] * rows, times, VIEWS)
        journals.append(b"".join(form.lines(Scored(query, inputs, outputs, 0.0042))))
    journals.close()


def log_outcomes(
    folder: Path, outcomes: Sequence[tuple[str, float]], *, at: dt.datetime = MOMENT, stem: str = "w", row: int = 0
) -> None:
    """Report outcomes, a second after the other."""
    form = FeedbackLines("flights")
    folder.mkdir(parents=True, exist_ok=True)
    journals = Journals(folder, stem, lambda: form.schema)
    for number, (request_id, outcome) in enumerate(outcomes):
        time = at.timestamp() + number
        entry = {"request_id": request_id, "row": row, "outcome": outcome, "time": time}
        journals.append(b"".join(form.lines(entry)))
    journals.close()

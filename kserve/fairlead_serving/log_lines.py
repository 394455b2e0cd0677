"""How predictions and outcomes become the lines of a journal."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import orjson

from fairlead_serving.answers import Answers
from fairlead_serving.log_schema import BOOL, NUMBER, TEXT, LogSchema
from fairlead_serving.package import Manifest
from fairlead_serving.query import Inputs, Matrix, Scored

OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
_ROW_BYTES, _VALUE_BYTES = 512, 64  # what a waiting row and each of its values weigh, rounded up


class Format(Protocol):
    """How entries become the lines of a journal."""

    @property
    def schema(self) -> LogSchema:
        """The journal's first line."""

    def lines(self, entry: Any) -> Iterator[bytes]:
        """Writes an entry's lines."""

    def weigh(self, entry: Any, rows: int) -> int:
        """About how many bytes of memory an entry takes while it waits."""


class PredictionLines:
    """Writes scored queries, one line per row.

    A line: request_id, row, digest, time, as_of (ISO 8601), seconds, protocol, trace_id, the model's output, decision,
    features (the model's inputs; null where missing), times (of each view looked up: when its features were observed,
    in seconds since 1970), stale (features that were not fresh).

    Args:
        model: The name under which the model is served.
        digest: The package's.
        manifest: The package's.
    """

    def __init__(self, model: str, digest: str, manifest: Manifest) -> None:
        self._answers, self._digest, self._label = Answers(manifest), digest, manifest.label
        self._texts = frozenset(item.name for item in manifest.inputs if item.kind != "numeric")
        kinds = {item.name: TEXT if item.name in self._texts else NUMBER for item in manifest.inputs}
        decision = {"binary": BOOL, "multiclass": TEXT}.get(manifest.task, "")
        self._schema = LogSchema(
            "predictions", model, digest, self._answers.output, len(manifest.classes), decision, kinds
        )

    @property
    def schema(self) -> LogSchema:
        """The columns."""
        return self._schema

    def lines(self, entry: Scored) -> Iterator[bytes]:
        """Writes a scored query's lines."""
        query, inputs, schema = entry.query, entry.inputs, self._schema
        if inputs.views and not schema.views:  # known from the first query on: the store is opened after the log
            self._schema = schema = replace(schema, views=inputs.views)
        moment = iso(query.received)
        features = self._features(inputs)
        trace_id = query.traceparent.split("-")[1] if query.traceparent else None
        outputs = entry.outputs[schema.output].tolist()
        decided = entry.outputs.get(self._label) if schema.decision else None
        decisions = None if decided is None else decided.tolist()
        for row in range(inputs.rows):
            yield orjson.dumps({
                "request_id": query.request_id, "row": row, "digest": self._digest, "time": moment,
                "as_of": moment if inputs.as_of is None else iso(inputs.as_of[row]),
                "seconds": round(entry.seconds, 6), "protocol": query.protocol, "trace_id": trace_id,
                schema.output: outputs[row], **({"decision": decisions[row]} if decisions is not None else {}),
                "features": features[row],
                "times": {view: moments[row] for view, moments in (inputs.times or {}).items()},
                "stale": inputs.stale[row] if inputs.stale else [],
            }, option=OPTIONS)  # fmt: skip

    def weigh(self, entry: Scored, rows: int) -> int:
        """About how many bytes of memory a query takes while it waits."""
        return rows * (_ROW_BYTES + _VALUE_BYTES * len(self._schema.features)) + self._letters(entry.inputs)

    def _letters(self, inputs: Inputs) -> int:
        columns = (inputs.columns.get(name, ()) for name in self._texts)
        return sum(len(value) for column in columns for value in column if isinstance(value, str))

    def _features(self, inputs: Inputs) -> list[dict[str, Any]]:
        """The features of each row."""
        if isinstance(inputs.columns, Matrix):
            return [dict(zip(inputs.columns.names, row, strict=True)) for row in inputs.columns.array.tolist()]
        columns = [self._plain(name, inputs.columns[name]) for name in self._schema.features]
        return [dict(zip(self._schema.features, row, strict=True)) for row in zip(*columns, strict=True)]

    def _plain(self, name: str, values: Any) -> list[Any]:
        plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
        if name not in self._texts:
            return plain
        return [value if value is None or type(value) is str else _text(value) for value in plain]


def _text(value: Any) -> str | None:
    return None if value != value else str(value)  # noqa: PLR0124 - NaN is a missing value


class FeedbackLines:
    """Writes reported outcomes as lines: request_id, row, outcome, time (ISO 8601).

    Args:
        model: The name under which the model is served.
        task: The model's; it says what an outcome is.
    """

    def __init__(self, model: str = "", task: str = "binary") -> None:
        self.schema = LogSchema("feedback", model, outcome=TEXT if task == "multiclass" else NUMBER)

    def lines(self, entry: Mapping[str, Any]) -> Iterator[bytes]:
        """Writes one outcome."""
        yield orjson.dumps({**entry, "time": iso(entry["time"])}, option=OPTIONS)

    def weigh(self, entry: Mapping[str, Any], rows: int) -> int:
        """About how many bytes of memory an outcome takes while it waits."""
        del entry
        return rows * _ROW_BYTES


def iso(seconds: float) -> str:
    """Writes seconds since 1970 as ISO 8601 in UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()

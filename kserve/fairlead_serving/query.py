"""What travels through the server: a query, the model's inputs made from it, and the answer."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class Matrix(Mapping[str, np.ndarray]):
    """Numeric columns that came as one tensor, and go into the model as one: nothing is taken apart on the way.

    Args:
        names: The columns, in order.
        array: (N, F) float32.
    """

    __slots__ = ("array", "names")

    def __init__(self, names: Sequence[str], array: np.ndarray) -> None:
        self.names, self.array = names, array

    def __getitem__(self, name: str) -> np.ndarray:
        """The column (N,) of that name."""
        if name not in self.names:
            raise KeyError(name)
        column: np.ndarray = self.array[:, self.names.index(name)]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def slice(self, start: int, stop: int) -> "Matrix":
        """The rows from `start` up to `stop`."""
        return Matrix(self.names, self.array[start:stop])


@dataclass(slots=True)
class Query:
    """A request that fits the schema, from any protocol.

    Attributes:
        protocol: v1, v2 or grpc.
        request_id: The client's id, or the one that the server made.
        columns: One column of N values per field.
        rows: N.
        wanted: For V2: the outputs that the client asked for, and whether as binary data; None for all of them.
        binary: Whether outputs go out as binary data where `wanted` does not say.
        received: Seconds since 1970 at arrival.
        started: `time.perf_counter()` at arrival.
        deadline: `time.perf_counter()` from which on nobody waits for the answer; None where the client named none.
        traceparent: The W3C trace context that goes back to the client and into the prediction log; empty for none.
        decoded, featured, predicted: `time.perf_counter()` when the request was read, its inputs were made, and the
            model had answered; 0 before.
    """

    protocol: str
    request_id: str
    columns: Mapping[str, Any]
    rows: int
    wanted: Mapping[str, bool | None] | None = None
    binary: bool = False
    received: float = field(default_factory=time.time)
    started: float = field(default_factory=time.perf_counter)
    deadline: float | None = None
    traceparent: str = ""
    decoded: float = 0.0
    featured: float = 0.0
    predicted: float = 0.0


@dataclass(slots=True)
class Inputs:
    """The model's inputs for the N rows of a query.

    Attributes:
        columns: One column of N values per input of the model.
        rows: N.
        as_of: The prediction time of each row, in seconds since 1970; None where it is the time of arrival.
        stale: For each row the features that were not fresh: their names, with `future:` before those whose time
            lies after the prediction time. None where no row has any.
        times: Of each view that was looked up, the event time of each row's features in seconds since 1970; 0 where
            they are not known.
        views: The features of those views.
    """

    columns: Mapping[str, Any]
    rows: int
    as_of: Sequence[float] | None = None
    stale: Sequence[Sequence[str]] | None = None
    times: Mapping[str, Sequence[int]] | None = None
    views: Mapping[str, Sequence[str]] | None = None

    def slice(self, start: int, stop: int) -> "Inputs":
        """The rows from `start` up to `stop`."""
        stale = self.stale[start:stop] if self.stale is not None else None
        columns = self.columns
        return Inputs(
            columns.slice(start, stop)
            if isinstance(columns, Matrix)
            else {name: values[start:stop] for name, values in columns.items()},
            stop - start,
            self.as_of[start:stop] if self.as_of is not None else None,
            stale if stale is not None and any(stale) else None,
            {view: moments[start:stop] for view, moments in self.times.items()} if self.times else None,
            self.views,
        )


@dataclass(slots=True)
class Scored:
    """A query with its inputs and what the model made of them.

    Attributes:
        query: The query.
        inputs: The model's inputs.
        outputs: One array of N values per output of the model.
        seconds: From the request's arrival to the prediction.
    """

    query: Query
    inputs: Inputs
    outputs: Mapping[str, np.ndarray]
    seconds: float = 0.0


@dataclass(slots=True)
class Answer:
    """What goes back to the client, before it is written in the client's protocol.

    Attributes:
        query: The query.
        outputs: One array of N values per output, the label's decision (bool) last.
    """

    query: Query
    outputs: Mapping[str, np.ndarray]

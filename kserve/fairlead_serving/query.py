"""What travels through the server: a query, the model's inputs made from it, and the answer."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


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
    """

    protocol: str
    request_id: str
    columns: Mapping[str, Any]
    rows: int
    wanted: Mapping[str, bool | None] | None = None
    binary: bool = False
    received: float = field(default_factory=time.time)
    started: float = field(default_factory=time.perf_counter)


@dataclass(slots=True)
class Inputs:
    """The model's inputs for the N rows of a query.

    Attributes:
        columns: One column of N values per input of the model.
        rows: N.
        as_of: The prediction time of each row, in seconds since 1970; None where it is the time of arrival.
        stale: For each row the features that were not fresh: their names, with `future:` before those whose time
            lies after the prediction time. None where no row has any.
    """

    columns: Mapping[str, Any]
    rows: int
    as_of: Sequence[float] | None = None
    stale: Sequence[Sequence[str]] | None = None

    def slice(self, start: int, stop: int) -> "Inputs":
        """The rows from `start` up to `stop`."""
        stale = self.stale[start:stop] if self.stale is not None else None
        return Inputs(
            {name: values[start:stop] for name, values in self.columns.items()},
            stop - start,
            self.as_of[start:stop] if self.as_of is not None else None,
            stale if stale is not None and any(stale) else None,
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

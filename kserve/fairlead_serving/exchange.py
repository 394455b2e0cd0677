"""One HTTP exchange: what the gate knows of a request while it is answered, and the heads of requests and answers."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fairlead_serving.backlog import Held
from fairlead_serving.errors import DeadlinePassedError, NotServedError, RequestInvalidError
from fairlead_serving.fields import shorten
from fairlead_serving.query import Query
from fairlead_serving.requests import make_id

if TYPE_CHECKING:  # it imports kserve, which the gate can do without
    from fairlead_serving.model import FairleadModel
    from fairlead_serving.tracing import Trace

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Result = tuple[bytes, Headers]

JSON: Headers = [(b"content-type", b"application/json")]
TIMEOUTS = (b"x-fairlead-timeout-ms", b"x-envoy-expected-rq-timeout-ms")
"""Milliseconds from now on for which the client waits: its own header, or the one that Envoy adds."""
LONGEST_TIMEOUT = 10
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(slots=True)
class Exchange:
    """One request that is being answered.

    Attributes:
        headers: By name, in lower case.
        receive: ASGI's receive.
        held: The room that its body takes.
        protocol: v1, v2, feedback, explain or repository.
        model: The model that is asked; None where the request is for no model.
        named: The model whose metadata or readiness is asked for.
        request_id: The client's or the server's own.
        given_id: The client's, from the header.
        started: `time.perf_counter()` at arrival.
        received: Seconds since 1970 at arrival.
        deadline: `time.perf_counter()` from which on the client does not wait any more.
        traceparent: The trace context for the answer and the log.
        trace: What is being traced of it.
        query: What the body was read as.
    """

    headers: Mapping[bytes, bytes]
    receive: Receive
    held: Held
    protocol: str = ""
    model: "FairleadModel | None" = None
    named: "FairleadModel | None" = None
    request_id: str = field(default_factory=make_id)
    given_id: str | None = None
    started: float = field(default_factory=time.perf_counter)
    received: float = field(default_factory=time.time)
    deadline: float | None = None
    traceparent: str = ""
    trace: "Trace | None" = None
    query: Query | None = None

    def target(self) -> "FairleadModel":
        """The model that is asked.

        Raises:
            NotServedError: The request is for none.
        """
        if self.model is None:
            raise NotServedError("the request names no model")
        return self.model

    def read_deadline(self) -> None:
        """Reads how long the client waits.

        Raises:
            RequestInvalidError: The header holds no whole number.
            DeadlinePassedError: It says that nobody waits.
        """
        given = next((self.headers[name] for name in TIMEOUTS if name in self.headers), None)
        self.deadline = None if given is None else self.started + read_timeout(given)


def read_timeout(given: bytes) -> float:
    """Reads a timeout in milliseconds; gives seconds.

    Raises:
        RequestInvalidError: It is no whole number.
        DeadlinePassedError: It is 0.
    """
    if not given.isdigit() or len(given) > LONGEST_TIMEOUT:
        raise RequestInvalidError(f"the timeout {shorten(given.decode('latin-1'))} is no whole number of milliseconds")
    if int(given) == 0:
        raise DeadlinePassedError("the timeout is 0 milliseconds, so nobody waits for the answer")
    return int(given) / 1000


def read_traceparent(headers: Mapping[bytes, bytes]) -> str:
    """Reads the W3C trace context; one that is malformed is as good as none, as the standard says."""
    given = headers.get(b"traceparent")
    if given is None:
        return ""
    text = given.decode("latin-1")
    return text if TRACEPARENT.fullmatch(text) else ""

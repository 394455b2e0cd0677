"""What a problem's YAML says about trying the server: the sections `server` and `load`."""

import string
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fairlead.errors import nearest
from fairlead.sections import Section

Protocol = Literal["v1", "v2", "v2-binary", "grpc"]

PROTOCOLS: tuple[Protocol, ...] = ("v1", "v2", "v2-binary", "grpc")
"""V1 JSON, V2 JSON, V2 with binary tensors, V2 over gRPC."""

DIGEST_HEADER = "x-fairlead-digest"
PLACES = ("python", "package", "digest", "name", "host", "port", "grpc_port", "folder")
"""What a server's command may hold in braces; `folder` is an empty folder that is removed afterwards."""


class RuntimeSpec(Section):
    """Which server is started, and how.

    Attributes:
        command: The server's program and arguments, with `{package}`, `{port}`, `{grpc_port}`, `{name}`, … in them; see
            PLACES. Where empty, fairlead's own server is started.
        environment: Variables that the server gets beside this process's own.
        protocols: What is asked over; where absent, all four of fairlead's own server, `v2` of another one.
        ready_path: Where the server says whether the model is ready; `{name}` stands for the model.
        digest_header: The header in which every answer names the package's digest; where absent, that of fairlead's own
            server, and none of another one. An empty text checks none.
        ready_timeout_seconds: How long the server may take until it is ready.
    """

    command: tuple[str, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    protocols: tuple[Protocol, ...] | None = None
    ready_path: str = "/v2/models/{name}/ready"
    digest_header: str | None = None
    ready_timeout_seconds: float = Field(default=60, gt=0)

    @field_validator("command")
    @classmethod
    def _known_places(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            for _, place, _, _ in string.Formatter().parse(part):
                if place is not None and place not in PLACES:
                    raise ValueError(f"{part!r} holds {{{place}}}; {nearest(place, PLACES)}")
        if value and not any("{port}" in part for part in value):
            raise ValueError("the command must hold {port}, where the server is to listen for HTTP")
        return value

    @model_validator(mode="after")
    def _something_asked(self) -> Self:
        if self.protocols is not None and not self.protocols:
            raise ValueError(f"protocols is empty; name some of {', '.join(PROTOCOLS)}")
        if self.command and "grpc" in self.asked and not any("{grpc_port}" in part for part in self.command):
            raise ValueError("protocols name grpc, so the command must hold {grpc_port}")
        return self

    @property
    def own(self) -> bool:
        """Whether fairlead's own server is started."""
        return not self.command

    @property
    def asked(self) -> tuple[Protocol, ...]:
        """The protocols that are asked over."""
        if self.protocols is not None:
            return self.protocols
        return PROTOCOLS if self.own else ("v2",)

    @property
    def header(self) -> str:
        """The header that names the digest, or an empty text."""
        if self.digest_header is not None:
            return self.digest_header.lower()
        return DIGEST_HEADER if self.own else ""


class ServerSpec(RuntimeSpec):
    """What a server must do before its package may be registered.

    Attributes:
        rows: Rows of the sample that are predicted offline and over every protocol.
        tolerance: How far a served prediction may be from the package's own: absolute, and relative for predictions
            beyond 1.
        maximum_memory_megabytes: What the server's processes may hold once loaded (resident, 1 MB = 10^6 bytes).
        maximum_growth_megabytes: How much that may grow over `memory_requests` requests, after as many to warm up.
        memory_requests: Requests of that measurement, as fast as they are answered; it ends early after 2 seconds.
        maximum_p99_seconds: The latency that 99 of 100 requests must meet at `rate`.
        rate: Requests per second of that measurement; each holds one row.
        load_seconds: How long it lasts.
        attempts: How often it may be repeated where the budget is missed: another program may have had the processor.
        drain_seconds: How long the server may take to end after SIGTERM.
        skip: Malformed requests that this server need not refuse, and checks that are not made, by name.
    """

    rows: int = Field(default=256, ge=2, le=5000)
    tolerance: float = Field(default=1e-4, gt=0)
    maximum_memory_megabytes: float = Field(default=1500, gt=0)
    maximum_growth_megabytes: float = Field(default=30, gt=0)
    memory_requests: int = Field(default=1000, ge=100)
    maximum_p99_seconds: float = Field(default=0.1, gt=0)
    rate: float = Field(default=100, gt=0)
    load_seconds: float = Field(default=1.5, ge=0.5)
    attempts: int = Field(default=3, ge=1, le=10)
    drain_seconds: float = Field(default=10, gt=0)
    skip: tuple[str, ...] = ()


class LoadSpec(RuntimeSpec):
    """The load that a server must bear.

    Attributes:
        rates: Requests per second, ascending; each is one step.
        seconds: How long each step lasts; a slow one goes on until it has sent `minimum_requests`.
        minimum_requests: Below this, a 99th percentile says little.
        arrivals: `poisson`: at random, as independent clients come; `constant`: evenly spaced.
        protocol: What is asked over.
        rows_per_request: Rows in each request.
        p99_seconds: The latency that 99 of 100 requests must meet, counted from the time at which each was due.
        error_share: The share of requests that may fail (no answer, no 2xx, or none within `timeout_seconds`).
        minimum_rate: The rate at which both must hold; the lowest of `rates` where absent.
        stop_at_miss: Whether higher rates are left out once one is missed.
        connections: Open connections at most; where all are busy, a request waits, and the wait counts.
        timeout_seconds: After which a request has failed.
        warm_up_requests: Requests before the first step, not counted.
        seed: Of the random arrivals.
    """

    rates: tuple[float, ...] = (50, 100, 200, 400, 800)
    seconds: float = Field(default=3, ge=0.5)
    minimum_requests: int = Field(default=200, ge=100)
    arrivals: Literal["constant", "poisson"] = "poisson"
    protocol: Protocol = "v2"
    rows_per_request: int = Field(default=1, ge=1)
    p99_seconds: float = Field(default=0.05, gt=0)
    error_share: float = Field(default=0.001, ge=0, lt=1)
    minimum_rate: float | None = Field(default=None, gt=0)
    stop_at_miss: bool = True
    connections: int = Field(default=128, ge=1, le=900)
    timeout_seconds: float = Field(default=10, gt=0)
    warm_up_requests: int = Field(default=200, ge=0)
    seed: int = Field(default=7, ge=0)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if not self.rates or min(self.rates) <= 0 or list(self.rates) != sorted(set(self.rates)):
            raise ValueError("rates must be positive and ascend, such as [50, 100, 200]")
        if self.minimum_rate is not None and self.minimum_rate not in self.rates:
            raise ValueError(f"minimum_rate {self.minimum_rate:g} is none of the rates; add it to them")
        if self.protocols is None and self.command and self.protocol != "v2":
            raise ValueError(f"say protocols: [{self.protocol}], which this server is then asked over")
        if self.protocol not in self.asked:
            raise ValueError(f"protocol {self.protocol!r} is none of protocols: {', '.join(self.asked)}")
        return self

    @property
    def demanded_rate(self) -> float:
        """The rate at which the objective must be met."""
        return self.rates[0] if self.minimum_rate is None else self.minimum_rate

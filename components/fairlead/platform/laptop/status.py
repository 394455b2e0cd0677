"""What the supervisor tells about itself: shared by the two ends of its socket."""

from pydantic import BaseModel, Field

from fairlead.platform import serving
from fairlead.platform.laptop.state import LONGEST_LEASE_SECONDS, RouteOptions, VersionState


class ProcessStatus(BaseModel):
    """One supervised process.

    Attributes:
        condition: What it does now; `crash-looping` processes are started again ever more rarely.
        pid: Its process, where one runs.
        restarts: How often it was started again after it died.
        last_exit: How it ended the last time, with the last lines of its log; empty if it never did.
        log: The path of its log.
    """

    condition: serving.Condition
    pid: int | None = None
    restarts: int = 0
    last_exit: str = ""
    log: str = ""


class VersionStatus(serving.VersionStatus):
    """The server of one model version.

    Attributes:
        pid: Its process, where one runs.
        port: Where it listens.
    """

    pid: int | None = None
    port: int


class ServiceStatus(serving.ServiceStatus):
    """One service, with all that is needed to start its earlier version again."""

    previous: VersionState | None = None
    versions: dict[str, VersionStatus] = Field(default_factory=dict)


class PlatformStatus(BaseModel):
    """Everything that runs.

    Attributes:
        pid: The supervisor's.
        host: The address that everything binds to.
        port: The port on which all services are reached.
        envoy: The proxy in front.
        services: By name.
    """

    pid: int
    host: str
    port: int
    envoy: ProcessStatus
    services: dict[str, ServiceStatus]


class DeployRequest(BaseModel):
    """The server that is to run: one model version of one service."""

    name: str
    digest: str
    version: str
    package: str
    predictions: str
    features: str | None = None
    command: list[str] = Field(default_factory=list)
    memory_bytes: int = Field(default=0, ge=0)
    options: RouteOptions = Field(default_factory=RouteOptions)


class SplitRequest(BaseModel):
    """How a service's predictions are to be split."""

    canary: str | None
    canary_percent: float = Field(ge=0, le=100)
    shadow_percent: float = Field(default=0, ge=0, le=100)
    lease_seconds: float | None = Field(default=None, gt=0, le=LONGEST_LEASE_SECONDS)

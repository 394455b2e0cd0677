"""What the supervisor tells about itself: shared by the two ends of its socket."""

from typing import Literal

from pydantic import BaseModel, Field

from fairlead.platform.laptop.state import RouteOptions, VersionState

Condition = Literal["starting", "ready", "unresponsive", "restarting", "crash-looping", "stopped"]


class ProcessStatus(BaseModel):
    """One supervised process.

    Attributes:
        condition: What it does now; `crash-looping` processes are started again ever more rarely.
        pid: Its process, where one runs.
        restarts: How often it was started again after it died.
        last_exit: How it ended the last time, with the last lines of its log; empty if it never did.
        log: The path of its log.
    """

    condition: Condition
    pid: int | None = None
    restarts: int = 0
    last_exit: str = ""
    log: str = ""


class VersionStatus(ProcessStatus):
    """The server of one model version.

    Attributes:
        digest: Its package's identity.
        version: The registry's number.
        port: Where it listens.
        percent: Its share of the service's predictions, 0 to 100.
    """

    digest: str
    version: str
    port: int
    percent: float


class ServiceStatus(BaseModel):
    """One service.

    Attributes:
        name: The model's name in request paths.
        endpoint: The address to post predictions to.
        stable: The digest that serves what the canary does not.
        canary: The digest on trial.
        canary_percent: The canary's share of the predictions.
        shadow_percent: The share of the predictions that the canary gets as copies.
        previous: The version that was stable before.
        predictions: The folder of the prediction logs.
        sticky: Whether users are split, not requests.
        versions: The servers that run, by digest.
    """

    name: str
    endpoint: str
    stable: str | None
    canary: str | None
    canary_percent: float
    shadow_percent: float
    previous: VersionState | None = None
    predictions: str = ""
    sticky: bool = False
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
    options: RouteOptions = Field(default_factory=RouteOptions)


class SplitRequest(BaseModel):
    """How a service's predictions are to be split."""

    canary: str | None
    canary_percent: float = Field(ge=0, le=100)
    shadow_percent: float = Field(default=0, ge=0, le=100)
    lease_seconds: float | None = None

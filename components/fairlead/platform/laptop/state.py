"""What the supervisor is to keep running, in one JSON file that is written whole or not at all."""

import re
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fairlead import atomic
from fairlead.errors import PlatformError, StateError
from fairlead.platform.serving import Previous

FORMAT = 1
DIGITS = 12  # of a digest, in names of processes and clusters
LONGEST_LEASE_SECONDS = 60.0
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9])?")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RouteOptions(_Model):
    """How requests to one service are treated.

    Attributes:
        timeout_seconds: From the request's end to the answer, retries included.
        per_try_timeout_seconds: For one attempt; then another server is asked.
        maximum_request_bytes: A longer body is answered 413.
        sticky_header: Requests with the same value of this header go to the same version for as long as the split does
            not change; a growing canary keeps those that it has. Empty: every request is drawn anew.
    """

    timeout_seconds: float = Field(default=15.0, gt=0)
    per_try_timeout_seconds: float = Field(default=2.0, gt=0)
    maximum_request_bytes: int = Field(default=4 << 20, gt=0)
    sticky_header: str = ""


class VersionState(Previous):
    """One model version that is to run.

    Attributes:
        digest: Its package's identity.
        version: The registry's number.
        package: The package's folder.
        predictions: The folder of its prediction log.
        features: The folder with feature_store.yaml, where the model needs features.
        command: What starts the server, up to its first option.
        port: Where it listens; 0 until it was first started.
        memory_bytes: What it may use; above that it is ended. 0: no limit.
    """

    model_config = ConfigDict(extra="forbid")

    predictions: str
    features: str | None = None
    command: list[str] = Field(default_factory=list)
    port: int = 0
    memory_bytes: int = Field(default=0, ge=0)


class ServiceState(_Model):
    """One service: the versions that run, and how traffic is split between them.

    Attributes:
        name: The model's name in request paths.
        versions: By digest.
        stable: The digest that serves what the canary does not.
        canary: The digest on trial.
        canary_percent: The canary's share of the traffic, 0 to 100.
        shadow_percent: The share of the traffic that is also sent to the canary, its answers ignored.
        lease_until: When the canary's share ends unless it is renewed, or None: seconds of the monotonic clock,
            which no change of the wall clock moves.
        previous: The version that was stable before, for going back.
        options: How requests are treated.
    """

    name: str
    versions: dict[str, VersionState] = Field(default_factory=dict)
    stable: str | None = None
    canary: str | None = None
    canary_percent: float = Field(default=0.0, ge=0, le=100)
    shadow_percent: float = Field(default=0.0, ge=0, le=100)
    lease_until: float | None = None
    previous: VersionState | None = None
    options: RouteOptions = Field(default_factory=RouteOptions)

    @property
    def serving(self) -> bool:
        """Whether any version gets the service's requests."""
        return self.stable is not None or (self.canary is not None and self.canary_percent > 0)

    def key(self, digest: str) -> str:
        """The name of a version's process, cluster and log."""
        return f"{self.name}-{short(digest)}"

    def limit_lease(self, now: float) -> None:
        """Shortens a lease from before the machine was started anew: its clock began again, from zero."""
        if self.lease_until is not None:
            self.lease_until = min(self.lease_until, now + LONGEST_LEASE_SECONDS)


class ProcessRecord(_Model):
    """A process that was started; pid and creation time together name it for good."""

    pid: int
    created: float


class PlatformState(_Model):
    """All that the supervisor is to keep running, and the processes that do.

    Attributes:
        format: Of this file.
        host: The address that everything binds to.
        port: The port on which all services are reached.
        services: By name.
        processes: By key: `envoy`, or that of a version.
    """

    format: int = FORMAT
    host: str = "127.0.0.1"
    port: int = 8080
    services: dict[str, ServiceState] = Field(default_factory=dict)
    processes: dict[str, ProcessRecord] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads the state; a file that is not there is an empty state.

        Raises:
            StateError: The file is corrupt or of another format.
        """
        try:
            state = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except (OSError, ValidationError) as error:
            raise StateError(
                f"{path} cannot be read as the platform's state ({type(error).__name__}); "
                f"stop what still runs and remove the file, then deploy again"
            ) from None
        if state.format != FORMAT:
            raise StateError(
                f"{path} has format {state.format}, this version reads {FORMAT}; remove it and deploy again"
            )
        return state

    def save(self, path: Path) -> None:
        """Writes the state, whole or not at all."""
        atomic.write_json(path, self.model_dump(mode="json"))


def short(digest: str) -> str:
    """The first digits of a digest, for names."""
    return digest.removeprefix("sha256:")[:DIGITS]


def check_name(name: str) -> str:
    """Gives a service's name if it can stand in paths and metrics.

    Raises:
        PlatformError: It holds other characters than letters, digits, `-` and `_`, or over 100 of them.
    """
    if not _NAME.fullmatch(name):
        raise PlatformError(f"service name {name!r}: use up to 100 letters, digits, '-' and '_'; change serving.name")
    return name

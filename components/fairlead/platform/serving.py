"""Where models serve: what both homes of deployment do alike, on this machine and on a Kubernetes cluster.

`home()` gives the home that the settings name. Whoever deploys, rolls out, promotes or looks asks it, and never asks
where he is. A home knows services; a service runs versions, of which one is stable and one may be on trial.
"""

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, cast

from pydantic import BaseModel, Field

from fairlead.errors import RolloutError
from fairlead.platform.order import Address, Order
from fairlead.platform.target import RolloutTarget
from fairlead.settings import settings

Condition = Literal["starting", "ready", "unresponsive", "restarting", "crash-looping", "stopped"]

_HOMES = {"laptop": "fairlead.platform.laptop.serving", "kubeflow": "fairlead.platform.kubeflow.serving"}


class InChargeError(RolloutError):
    """Somebody else is in charge of the service's rollout."""


class LostChargeError(RolloutError):
    """This process was in charge of a service's rollout, and is no longer: it must not change anything any more."""


class VersionStatus(BaseModel):
    """The servers of one version.

    Attributes:
        digest: Its package's identity.
        version: The registry's number.
        condition: What they do now.
        restarts: How often they were started again after they died.
        last_exit: How one ended the last time; empty if none did.
        log: Where their log is read: a path, or a command.
        percent: Its share of the service's predictions, 0 to 100.
    """

    digest: str
    version: str
    condition: Condition
    restarts: int = 0
    last_exit: str = ""
    log: str = ""
    percent: float = 0.0


class Previous(BaseModel):
    """The version that was stable before, as far as both homes know one.

    Attributes:
        digest: Its package's identity.
        version: The registry's number.
        package: Where its package is.
    """

    digest: str
    version: str
    package: str


@dataclass(frozen=True)
class Tally:
    """What a version was asked and answered so far.

    Attributes:
        succeeded: Requests that it answered well.
        failed: Requests that it answered with an error, or not at all.
    """

    succeeded: int = 0
    failed: int = 0


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
        predictions: Where the prediction logs are.
        sticky: Whether users are split, not requests.
        versions: What runs, by digest.
    """

    name: str
    endpoint: str
    stable: str | None
    canary: str | None
    canary_percent: float = 0.0
    shadow_percent: float = 0.0
    previous: Previous | None = None
    predictions: str = ""
    sticky: bool = False
    versions: Mapping[str, VersionStatus] = Field(default_factory=dict)


class RecordStore(Protocol):
    """What is kept of one service's rollouts: documents, a word by hand, the history, and who is in charge."""

    name: str

    def charge(self) -> AbstractContextManager[None]:
        """Takes charge of the service's rollouts: one at a time, freed when the one in charge dies.

        Raises:
            InChargeError: Somebody else is in charge.
        """

    def read(self) -> bytes | None:
        """The state of the latest rollout; None where there was none."""

    def write(self, content: bytes, *, urgent: bool = True) -> None:
        """Keeps the state, whole or not at all.

        Args:
            content: The state as JSON.
            urgent: Whether it says something new that must not be lost; otherwise it may be kept a little later.
        """

    def command(self, word: str) -> None:
        """Leaves a word for the one in charge."""

    def commanded(self) -> str | None:
        """The word that was left."""

    def append(self, line: str) -> None:
        """Adds a line to the history."""

    def lines(self) -> list[str]:
        """The history, oldest first."""

    def keep(self, key: str, content: bytes) -> None:
        """Keeps a small document of one version (`key`: its digest) besides."""

    def kept(self, key: str) -> bytes | None:
        """Such a document; None where there is none."""

    @property
    def where(self) -> str:
        """Where the state is, for messages."""

    def where_kept(self, key: str) -> str:
        """Where such a document is, for messages."""


class Target(RolloutTarget, Protocol):
    """A rollout's target with what deployment needs to know besides."""

    name: str
    digest: str
    stable: str | None
    endpoint: str

    @property
    def promoted(self) -> bool:
        """Whether this version is the stable one already."""

    def close(self) -> None:
        """Ends connections; what runs runs on."""


class Serving(Protocol):
    """A connection to where models serve."""

    def __enter__(self) -> Self:
        """Gives itself."""

    def __exit__(self, *_: object) -> None:
        """Ends the connection; what runs runs on."""

    def deploy(self, order: Order) -> float:
        """Starts a version at weight 0 and waits until it can answer; changes nothing where it runs already.

        Returns:
            How long it took, in seconds.

        Raises:
            RolloutError: Another version is on trial and gets traffic.
            PlatformError: It does not come up; the text says why.
        """

    def address(self, name: str, digest: str) -> Address:
        """Where this process reaches one version, whatever its share."""

    def withdraw(self, name: str, digest: str) -> None:
        """Removes a version that will not do; the stable one stays."""

    def services(self) -> dict[str, ServiceStatus]:
        """Everything that runs, by name."""

    def service(self, name: str) -> ServiceStatus:
        """How one service is doing.

        Raises:
            PlatformError: There is none of that name.
        """

    def tallies(self, name: str) -> dict[str, Tally]:
        """What each version of a service was asked and answered; nothing where that cannot be read now."""

    def remark(self) -> str:
        """What is wrong with what stands in front of all services; empty if nothing is known."""

    def overview(self) -> dict[str, Any]:
        """Everything that is known, as JSON."""

    def target(self, name: str, digest: str) -> Target:
        """A deployed version, to be rolled out.

        Raises:
            RolloutError: It was not deployed.
        """

    def bring_back(self, name: str) -> None:
        """Starts the version that was stable before, and gives it all traffic.

        Raises:
            PlatformError: It does not start.
        """


class Home(Protocol):
    """One of the homes of deployment; asking for it connects to nothing yet."""

    def connect(self, *, start: bool = True) -> Serving:
        """Connects.

        Args:
            start: Start what serves, where it does not run and can be started.

        Raises:
            PlatformError: It does not run, or cannot be reached.
        """

    def running(self) -> bool:
        """Whether there is something to connect to without starting it."""

    def records(self, name: str) -> RecordStore:
        """What is kept of a service's rollouts."""

    def rolled_out(self) -> list[str]:
        """The services of which a rollout is kept."""

    def user(self) -> str:
        """Who acts, for the record."""

    @property
    def place(self) -> str:
        """What this home is called in the registry."""

    def served(self) -> dict[str, str]:
        """What runs here, is to run again, or would be gone back to: by digest, as what."""


def home() -> Home:
    """The home of deployment that the settings name."""
    module = importlib.import_module(_HOMES[settings().platform])
    return cast("Home", module.Home(settings()))

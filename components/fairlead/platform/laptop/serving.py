"""This machine as the home of deployment: the supervisor's services behind the protocol that both homes share."""

import hashlib
import os
import pwd
import re
import socket
import time
from typing import Any, Self

from fairlead import progress
from fairlead.errors import ConfigurationError, PlatformError, SourceError
from fairlead.platform import serving
from fairlead.platform.laptop.client import Supervisor, connect, running
from fairlead.platform.laptop.places import Places
from fairlead.platform.laptop.record_files import RecordFiles
from fairlead.platform.laptop.rollout_target import LaptopTarget
from fairlead.platform.laptop.state import PlatformState, RouteOptions
from fairlead.platform.laptop.status import DeployRequest, ServiceStatus
from fairlead.platform.order import Address, Order
from fairlead.platform.serving import Tally
from fairlead.settings import Settings

_BACK_SECONDS = 60.0
_POLL_SECONDS = 0.1


class Home:
    """Deployment on this machine.

    Args:
        place: The settings: `home`, `host`, `serving_port`.
    """

    def __init__(self, place: Settings) -> None:
        self._settings, self._places = place, Places(place.platform_home)

    def connect(self, *, start: bool = True) -> "LaptopServing":
        """Connects to the supervisor; see `client.connect`."""
        return LaptopServing(connect(start=start), self._settings)

    def running(self) -> bool:
        """Whether the supervisor runs."""
        return running(self._places)

    def records(self, name: str) -> RecordFiles:
        """The files of a service's rollouts."""
        return RecordFiles(self._places.rollouts, name)

    def rolled_out(self) -> list[str]:
        """The services of which a rollout is kept."""
        return sorted(file.stem for file in self._places.rollouts.glob("*.json"))

    def user(self) -> str:
        """The name of this process's user."""
        return pwd.getpwuid(os.getuid()).pw_name

    @property
    def place(self) -> str:
        """The host's name, and which of its folders."""
        host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40]
        return f"{host}-{hashlib.sha256(str(self._settings.platform_home).encode()).hexdigest()[:6]}"

    def served(self) -> dict[str, str]:
        """What the platform runs, is to run when it is started again, or goes back to.

        Raises:
            StateError: The platform's state is corrupt: nobody knows what it serves.
        """
        found: dict[str, str] = {}
        for service in PlatformState.load(self._places.state).services.values():
            if service.previous is not None:
                found[service.previous.digest] = f"{service.name} goes back to it on a rollback"
            for digest in service.versions:
                found[digest] = f"{service.name} serves it"
        return found


class LaptopServing:
    """A connection to this machine's services.

    Args:
        supervisor: What runs them.
        place: The settings.
    """

    def __init__(self, supervisor: Supervisor, place: Settings) -> None:
        self._supervisor, self._settings = supervisor, place

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._supervisor.close()

    def deploy(self, order: Order) -> float:
        """Starts a version's server at weight 0, and waits until it can answer."""
        request = self._request(order)
        restarts = self._supervisor.deploy(request).versions[order.digest].restarts
        return self._wait_until_ready(request, order.ready_timeout_seconds, restarts)

    def address(self, name: str, digest: str) -> Address:
        """A server's own address."""
        port = self._supervisor.service(name).versions[digest].port
        return Address(f"http://{self._supervisor.status().host}:{port}")

    def withdraw(self, name: str, digest: str) -> None:
        """Removes a server that will not do; one that carries the service stays."""
        service = self._supervisor.status().services.get(name)
        if service is not None and digest in service.versions and service.stable != digest:
            self._supervisor.remove(name, digest)

    def services(self) -> dict[str, serving.ServiceStatus]:
        """Everything that runs, by name."""
        return dict(self._supervisor.status().services)

    def service(self, name: str) -> ServiceStatus:
        """How one service is doing."""
        return self._supervisor.service(name)

    def tallies(self, name: str) -> dict[str, Tally]:
        """What each version was asked and answered; nothing while the proxy is being started again."""
        try:
            found = self._supervisor.counters(name)
        except PlatformError:
            return {}
        return {digest: Tally(counts.succeeded, counts.failed) for digest, counts in found.items()}

    def remark(self) -> str:
        """What is wrong with the proxy."""
        envoy = self._supervisor.status().envoy
        return "" if envoy.condition == "ready" else f"The proxy is {envoy.condition}; its log: {envoy.log}"

    def overview(self) -> dict[str, Any]:
        """All that the supervisor tells."""
        return self._supervisor.status().model_dump(mode="json")

    def target(self, name: str, digest: str) -> LaptopTarget:
        """A deployed version, to be rolled out."""
        return LaptopTarget(name, digest)

    def bring_back(self, name: str) -> None:
        """Starts the version that was stable before, and gives it all traffic."""
        version = self._supervisor.service(name).previous
        if version is None:
            raise PlatformError(f"{name} has no earlier version to go back to")
        self._supervisor.deploy(DeployRequest(name=name, **version.model_dump(exclude={"port"})))
        deadline = time.monotonic() + _BACK_SECONDS
        while (status := self._supervisor.service(name).versions[version.digest]).condition != "ready":
            if status.last_exit or time.monotonic() > deadline:
                self._supervisor.remove(name, version.digest)
                raise PlatformError(
                    f"version {version.version} does not start: {status.last_exit or 'not ready in time'}"
                )
            time.sleep(_POLL_SECONDS)
        self._supervisor.promote(name, version.digest)

    def _request(self, order: Order) -> DeployRequest:
        options = RouteOptions(**{key: getattr(order, key) for key in RouteOptions.model_fields})
        if not order.package.path.is_dir():
            raise SourceError(f"package {order.uri}: a laptop serves packages of its own disk; fetch the model first")
        return DeployRequest(
            name=order.service, digest=order.digest, version=order.version, package=str(order.package.path.resolve()),
            predictions=str(self._settings.predictions_home(order.service)), features=self._features(order),
            memory_bytes=order.memory_bytes, options=options,
        )  # fmt: skip

    def _features(self, order: Order) -> str | None:
        """The feature store's folder, where the model's features are looked up for each request."""
        request = order.package.manifest.request
        if not request or not request.get("feature_service"):
            return None
        folder = self._settings.features_home(order.problem)
        if not (folder / "feature_store.yaml").is_file():
            raise ConfigurationError(
                f"the model looks up {request['feature_service']!r} for each request, but {folder} holds no "
                f"feature store; run materialize_features for problem {order.problem!r} first"
            )
        return str(folder)

    def _wait_until_ready(self, request: DeployRequest, timeout_seconds: float, restarts: int) -> float:
        started = time.monotonic()
        with progress.step(f"waiting for the server of {request.name} version {request.version}") as step:
            while True:
                status = self._supervisor.service(request.name).versions[request.digest]
                waited = time.monotonic() - started
                if status.condition == "ready":
                    return round(waited, 3)
                if status.restarts > restarts:
                    raise PlatformError(f"version {status.version} does not start: {status.last_exit}")
                if waited > timeout_seconds:
                    raise PlatformError(
                        f"version {status.version} was not ready after {timeout_seconds:g} s; see {status.log}, "
                        f"or raise serving.ready_timeout_seconds"
                    )
                step.update(waited)
                time.sleep(_POLL_SECONDS)

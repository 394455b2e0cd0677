"""The supervisor from outside: `connect()` gives it, starting it where it does not run.

supervisor = connect()
supervisor.deploy(DeployRequest(name="flights", digest=…, version="3", package=…, predictions=…))
supervisor.status().services["flights"].versions
"""

import json
import os
import select
import socket
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self

import httpx

from fairlead import errors
from fairlead.errors import FairleadError, PlatformError
from fairlead.platform.laptop import processes
from fairlead.platform.laptop.counters import VersionCounters
from fairlead.platform.laptop.places import Places
from fairlead.platform.laptop.status import DeployRequest, PlatformStatus, ServiceStatus, SplitRequest
from fairlead.settings import Settings, settings

_START_SECONDS = 60.0
_CALL_SECONDS = 60.0
_POLL_SECONDS = 0.05
_ATTEMPTS = 3
# a supervisor outlives the task that started it, and must not write into that task's progress or pass for a task
_NOT_INHERITED = ("FAIRLEAD_EVENTS", "_KFP_RUNTIME")


class Supervisor:
    """A connection to the supervisor of one platform folder; close it, or use it in a `with` block."""

    def __init__(self, places: Places) -> None:
        self.places = places
        transport = httpx.HTTPTransport(uds=str(places.socket))
        self._client = httpx.Client(transport=transport, base_url="http://supervisor", timeout=_CALL_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; what runs runs on."""
        self._client.close()

    def status(self) -> PlatformStatus:
        """Tells what runs."""
        return PlatformStatus.model_validate(self._call("GET", "/status"))

    def service(self, name: str) -> ServiceStatus:
        """Tells how one service is doing.

        Raises:
            PlatformError: There is none of that name.
        """
        services = self.status().services
        if name not in services:
            known = ", ".join(services) or "none"
            raise PlatformError(f"no service {name!r} runs here (running: {known}); deploy a version first")
        return services[name]

    def deploy(self, request: DeployRequest) -> ServiceStatus:
        """Starts a version's server at weight 0; returns before it is ready."""
        return ServiceStatus.model_validate(self._call("POST", "/services", request.model_dump(mode="json")))

    def remove(self, name: str, digest: str) -> None:
        """Takes a version out of the traffic, drains it, and stops its server."""
        self._call("DELETE", f"/services/{name}/versions/{digest}")

    def apply_split(self, name: str, request: SplitRequest) -> ServiceStatus:
        """Splits a service's predictions; returns when the proxy has taken it."""
        return ServiceStatus.model_validate(
            self._call("PUT", f"/services/{name}/split", request.model_dump(mode="json"))
        )

    def renew(self, name: str, lease_seconds: float) -> ServiceStatus:
        """Prolongs the canary's share."""
        content = self._call("PUT", f"/services/{name}/lease", {"lease_seconds": lease_seconds})
        return ServiceStatus.model_validate(content)

    def promote(self, name: str, digest: str) -> ServiceStatus:
        """Gives a version all traffic for good; the old one is drained and stopped."""
        return ServiceStatus.model_validate(self._call("POST", f"/services/{name}/versions/{digest}/promote"))

    def counters(self, name: str) -> dict[str, VersionCounters]:
        """Reads what each version of a service was asked and answered, by digest."""
        content = self._call("GET", f"/services/{name}/counters")
        return {digest: VersionCounters.model_validate(counts) for digest, counts in content.items()}

    def shutdown(self) -> None:
        """Stops every server, the proxy, and the supervisor; returns when they have ended."""
        pid = self.status().pid
        self._call("POST", "/shutdown")
        self.close()
        deadline = time.monotonic() + _CALL_SECONDS
        while _lock_holder(self.places) == pid and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _call(self, method: str, path: str, content: Any = None) -> Any:
        try:
            _try_connecting(self.places)
            answer = self._client.request(method, path, json=content)
        except (OSError, httpx.TransportError) as error:
            raise PlatformError(
                f"the supervisor went away ({type(error).__name__}); what it served is still up. "
                f"Run the command again; its log is {self.places.log('supervisor')}"
            ) from None
        if answer.is_success:
            return answer.json()
        raise _error(answer)


def connect(*, start: bool = True) -> Supervisor:
    """Gives the supervisor of the platform that the settings name.

    Args:
        start: Start it where it does not run.

    Returns:
        The connection.

    Raises:
        PlatformError: It does not run and may not be started, cannot start (a port in use), or serves elsewhere.
        StateError: The state that it would start from is corrupt.
    """
    wanted = settings()
    supervisor = _reach(Places(wanted.platform_home), wanted, start=start)
    port = supervisor.status().port
    if start and port != wanted.serving_port:
        supervisor.close()
        raise PlatformError(
            f"this platform serves on port {port}, the settings say {wanted.serving_port}: "
            f"run `fairlead down` first, or set FAIRLEAD_SERVING_PORT={port}"
        )
    return supervisor


def _reach(places: Places, wanted: Settings, *, start: bool) -> Supervisor:
    """Connects, after starting the supervisor where it does not run; one that ends just then is replaced."""
    for attempt in range(_ATTEMPTS):
        if not running(places):
            if not start:
                raise PlatformError(
                    "nothing runs here; start it with `fairlead up`, or run a pipeline that deploys a model"
                )
            places.make()
            _start(places, wanted.host, wanted.serving_port)
        supervisor = Supervisor(places)
        try:
            supervisor.status()
        except PlatformError:
            supervisor.close()
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return supervisor
    raise PlatformError(f"the supervisor does not answer; see {places.log('supervisor')}")


def running(places: Places) -> bool:
    """Tells whether a supervisor of this folder takes connections."""
    if not places.socket.exists() or _lock_holder(places) is None:
        return False
    try:
        _try_connecting(places)
    except OSError:
        return False
    return True


def _try_connecting(places: Places) -> None:
    """Raises OSError where nobody listens; httpx would leave the refused socket open."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(places.socket))


def _start(places: Places, host: str, port: int) -> None:
    """Starts the supervisor in a session of its own, and waits for its word."""
    hears, tells = os.pipe()
    command = [
        sys.executable, "-m", "fairlead.platform.laptop.supervisor", "--home", str(places.home), "--host", host,
        "--port", str(port), "--tell", str(tells),
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    with places.log("supervisor").open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=places.home, pass_fds=[tells],
            start_new_session=True, env=environment,
        )  # fmt: skip
    os.close(tells)
    with os.fdopen(hears) as pipe:
        heard = pipe.read() if select.select([pipe], [], [], _START_SECONDS)[0] else ""
    word = json.loads(heard) if heard else {}
    if "error" in word:
        child.wait()
        raise _named(word["error"], word["message"])
    if "ready" in word:
        child.returncode = 0  # it is nobody's child from here on: no warning when this object goes
        return
    child.poll()
    if "running" in word and _answers_soon(places):
        return
    tail = processes.log_tail(places.log("supervisor"))
    raise PlatformError(f"the supervisor did not start; its log ends:\n{tail}")


def _answers_soon(places: Places) -> bool:
    """Waits for the supervisor that another client is starting just now."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if running(places):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _lock_holder(places: Places) -> int | None:
    """The process that holds the platform's lock, or None."""
    import fcntl

    try:
        with places.lock.open("r") as lock:
            fcntl.flock(lock.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int(places.lock.read_text() or 0)
    return None


def _error(answer: httpx.Response) -> FairleadError:
    try:
        content = answer.json()
        return _named(content["error"], content["message"])
    except (ValueError, KeyError):
        return PlatformError(f"the supervisor answered {answer.status_code}; see its log")


def _named(name: str, message: str) -> FairleadError:
    kind = getattr(errors, name, PlatformError)
    return kind(message) if isinstance(kind, type) and issubclass(kind, FairleadError) else PlatformError(message)

"""Where versions are served: records with them, for every machine to read, and what this machine's platform says.

The records are written by whoever changes what serves (deploy_model, roll_out_model, promotion and rollback by hand).
Each such write makes them agree with the platform, so that one that was missed is mended by the next.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from fairlead.errors import StateError
from fairlead.platform.serving import ServiceStatus, home
from fairlead.registry.choose import open_registry
from fairlead.registry.records import Registered, Registry
from fairlead.settings import settings


@dataclass(frozen=True)
class Deployment:
    """One version that runs somewhere.

    Attributes:
        place: The platform that runs it.
        service: The service there.
        role: `stable`, `canary`, or `idle` where it gets no traffic.
        percent: Its share of the traffic when this was recorded, 0 to 100.
        endpoint: Where the service's clients post predictions.
        time: When this was recorded (ISO 8601, UTC).
    """

    place: str
    service: str
    role: str
    percent: float
    endpoint: str
    time: str

    @property
    def key(self) -> str:
        """What names it among the deployments of a version."""
        return f"{self.place}.{self.service}"


def record(name: str, service: ServiceStatus) -> None:
    """Makes the records of a model agree with what a service runs.

    Args:
        name: The model's name in the registry.
        service: What the service runs now.

    Raises:
        StateError: The registry is locked, corrupt, of another version, or out of reach.
    """
    registry, _ = open_registry(settings())
    found = {digest: _deployment(service, digest) for digest in service.versions}
    for digest, deployment in found.items():
        known = Registered(name, service.versions[digest].version, digest, "")
        registry.write_note(known, "deployments", deployment.key, json.dumps(asdict(deployment)))
    key = f"{home().place}.{service.name}"
    noted = [digest for digest, notes in registry.notes(name, "deployments").items() if key in notes]
    _remove(registry, name, [(digest, key) for digest in noted if digest not in found])


def deployments(name: str) -> dict[str, list[Deployment]]:
    """Where the versions of a model are served, by digest.

    Raises:
        StateError: A record cannot be read, or the registry cannot.
    """
    found = open_registry(settings())[0].notes(name, "deployments")
    return {digest: [_read(name, notes[key]) for key in sorted(notes)] for digest, notes in found.items()}


def forget(name: str, place: str) -> int:
    """Removes the records of a platform that is no more.

    Args:
        name: The model's name.
        place: The platform, as the records name it.

    Returns:
        How many records there were.
    """
    known = deployments(name).items()
    gone = [(digest, one.key) for digest, found in known for one in found if one.place == place]
    _remove(open_registry(settings())[0], name, gone)
    return len(gone)


def served_here() -> dict[str, str]:
    """What runs where the settings say, is to run when it is started again, or would be gone back to: by digest.

    Raises:
        StateError: The platform's state is corrupt: nobody knows what it serves.
        PlatformError: The cluster cannot be reached.
    """
    return home().served()


def _remove(registry: Registry, name: str, gone: list[tuple[str, str]]) -> None:
    for digest, key in gone:
        registry.remove_note(Registered(name, "", digest, ""), "deployments", key)


def _deployment(service: ServiceStatus, digest: str) -> Deployment:
    role = "stable" if digest == service.stable else "canary" if digest == service.canary else "idle"
    return Deployment(
        home().place,
        service.name,
        role,
        service.versions[digest].percent,
        service.endpoint,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _read(name: str, text: str) -> Deployment:
    try:
        content: Mapping[str, object] = json.loads(text)
        return Deployment(**content)  # type: ignore[arg-type]  # a wrong member is the TypeError below
    except (ValueError, TypeError) as error:
        raise StateError(f"a deployment record of {name} cannot be read ({error}); deploy the model again") from None

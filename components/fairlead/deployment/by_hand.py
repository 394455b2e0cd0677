"""Promotion and rollback by hand; both are recorded in the rollout's history."""

import time
from dataclasses import dataclass

from fairlead.deployment.permission import PolicyRecord, require_recorded
from fairlead.deployment.records import Records, Verb
from fairlead.errors import RolloutError
from fairlead.platform.serving import InChargeError, ServiceStatus, Serving, home

_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Done:
    """What was done by hand.

    Attributes:
        what: In a sentence.
        stable: The digest that serves now.
    """

    what: str
    stable: str | None


def promote(name: str, reason: str = "") -> Done:
    """Gives the canary all traffic now, without waiting for evidence.

    Where a rollout is under way it is told to promote, and its own process does so.

    Args:
        name: The service.
        reason: Why, for the record.

    Returns:
        What was done.

    Raises:
        PlatformError: Nothing of that name runs here.
        RolloutError: There is no canary, or it is not ready.
        VerdictError: The policy under which it was deployed would refuse it now.
    """
    return _do(name, "promote", reason)


def roll_back(name: str, reason: str = "") -> Done:
    """Takes the canary away now; where there is none, brings the version back that was stable before.

    Args:
        name: The service.
        reason: Why, for the record.

    Returns:
        What was done.

    Raises:
        PlatformError: Nothing of that name runs here, or the earlier version does not start.
        RolloutError: There is neither a canary nor an earlier version.
        VerdictError: The policy under which the earlier version was deployed would refuse it now; its age counts not.
    """
    return _do(name, "rollback", reason)


def _do(name: str, verb: Verb, reason: str) -> Done:
    with home().connect(start=False) as place:
        service = place.service(name)
        records = Records(home().records(name))
        try:
            with records.charge():
                done = _promote(place, service) if verb == "promote" else _roll_back(place, service)
                _record(records, service, done, {"verb": verb, "reason": reason})
                _record_served(place.service(name), done)
                return done
        except InChargeError:
            return _tell(records, place, name, verb)


def _promote(place: Serving, service: ServiceStatus) -> Done:
    if service.canary is None:
        raise RolloutError(f"{service.name} has no canary to promote; deploy a version first")
    version = service.versions[service.canary]
    if version.condition != "ready":
        raise RolloutError(f"{service.name}: the canary is {version.condition}, not ready; its log: {version.log}")
    require_recorded(service.name, version.digest)
    target = place.target(service.name, version.digest)
    target.promote()
    target.close()
    _set_champion(service.name, version.digest, version.version)
    return Done(f"version {version.version} ({_short(version.digest)}) has all traffic", version.digest)


def _roll_back(place: Serving, service: ServiceStatus) -> Done:
    if service.canary is not None:
        version = service.versions[service.canary]
        target = place.target(service.name, service.canary)
        target.roll_back()
        target.close()
        return Done(f"canary version {version.version} ({_short(version.digest)}) was removed", service.stable)
    if service.previous is None:
        raise RolloutError(f"{service.name} has neither a canary nor an earlier version to go back to")
    return _bring_back(place, service)


def _bring_back(place: Serving, service: ServiceStatus) -> Done:
    """Starts the version that was stable before, and gives it all traffic."""
    version = service.previous
    if version is None:
        raise RolloutError(f"{service.name} has no earlier version to go back to")
    require_recorded(service.name, version.digest, aged=True)
    place.bring_back(service.name)
    _set_champion(service.name, version.digest, version.version)
    return Done(f"version {version.version} ({_short(version.digest)}) is back and has all traffic", version.digest)


def _tell(records: Records, place: Serving, name: str, verb: Verb) -> Done:
    """Leaves a word for the process that is in charge, and waits until it has done so."""
    records.command(verb)
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        state = records.load()
        if state is not None and state.phase == "done":
            stable = place.service(name).stable
            return Done(f"the rollout of version {state.version} has ended: {state.outcome}", stable)
        time.sleep(_POLL_SECONDS)
    raise RolloutError(
        f"the process in charge of {name}'s rollout did not answer in {_WAIT_SECONDS:.0f} s; end it first"
    )


def _record(records: Records, service: ServiceStatus, done: Done, word: dict[str, str]) -> None:
    """Notes what was done, and ends a rollout whose process has died."""
    state = records.load()
    if state is not None and state.phase != "done":
        state.phase, state.outcome = "done", "promoted" if word["verb"] == "promote" else "rolled_back"
        state.reasons = [f"{word['verb']} by hand"]
        records.save(state)
    moved = {"from": service.canary or service.stable, "digest": done.stable, "what": done.what}
    records.append({"by": "hand", "user": home().user(), **word, **moved})


def _record_served(service: ServiceStatus, done: Done) -> None:
    """Tells the registry what runs now, so that nobody collects it as garbage."""
    from fairlead.registry import deployments

    policy = PolicyRecord.read(service.name, done.stable) if done.stable else None
    deployments.record(policy.model if policy else service.name, service)


def _set_champion(service: str, digest: str, version: str) -> None:
    from fairlead.registry import store

    record = PolicyRecord.read(service, digest)  # a service may be called otherwise than its model
    store.set_alias(record.model if record else service, version, "champion")


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]

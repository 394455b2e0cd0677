"""Rollouts over a simulated target, on a clock that moves when somebody sleeps."""

from typing import Any

from fakes import SimulatedTarget

from fairlead.deployment.engine import Rollout
from fairlead.deployment.records import Records, RolloutState
from fairlead.deployment.spec import RolloutSpec

SPEC: dict[str, Any] = {
    "steps": [5, 25, 50],
    "minimum_requests": 50,
    "step_timeout_seconds": 20,
    "look_seconds": 1,
    "checks": [{"metric": "success_rate"}, {"metric": "latency"}, {"metric": "log_loss"}],
}


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def rollout(target: SimulatedTarget, records: Records, state: RolloutState | None = None, **changes: Any) -> Rollout:
    """A rollout of the simulated target, new or resumed."""
    spec = RolloutSpec.parse(SPEC | changes, where="rollout")
    time = Time()
    fresh = RolloutState(name="m", digest="sha256:b", version="2", stable="sha256:a", spec=spec.model_dump(mode="json"))
    return Rollout(
        target,
        spec,
        state or fresh,
        records.save,
        commanded=records.commanded,
        clock=lambda: time.now,
        sleep=time.sleep,
    )

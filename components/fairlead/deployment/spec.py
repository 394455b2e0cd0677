"""The sections `serving` and `rollout` of a problem."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from fairlead.platform.order import ClusterOptions
from fairlead.sections import Section


class ServingSpec(Section):
    """How a model is served.

    Attributes:
        name: The service's name in request paths; by default the registered model's.
        ready_timeout_seconds: How long a server may take until it can answer.
        timeout_seconds: How long a client waits at most, retries included.
        per_try_timeout_seconds: How long one server may take before another is asked.
        maximum_request_bytes: A longer request is answered 413.
        sticky_header: The header that names a user, such as `x-user-id`: a user meets one version during a step, and
            stays with the canary while its share grows. Empty: every request is drawn anew.
        memory_bytes: What one server may use; one that uses more is ended, and a canary rolled back. 0: no limit.
        cluster: How many servers a cluster runs, and what each may use.
    """

    name: str = ""
    ready_timeout_seconds: float = Field(default=60.0, gt=0)
    timeout_seconds: float = Field(default=15.0, gt=0)
    per_try_timeout_seconds: float = Field(default=2.0, gt=0)
    maximum_request_bytes: int = Field(default=4 << 20, gt=0)
    sticky_header: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
    memory_bytes: int = Field(default=0, ge=0)
    cluster: ClusterOptions = ClusterOptions()


class SuccessRateCheck(Section):
    """The canary may not fail more of its requests than the stable version, by more than a margin.

    Attributes:
        metric: Names this check.
        margin: By how much the canary's share of failed requests may exceed the stable version's.
    """

    metric: Literal["success_rate"]
    margin: float = Field(default=0.005, ge=0, lt=1)


class LatencyCheck(Section):
    """The canary may not be slower than a multiple of the stable version's latency quantile.

    Attributes:
        metric: Names this check.
        quantile: Of the stable version's latency, as its clients see it behind the proxy.
        factor: By how much it is multiplied to make the threshold.
        floor_seconds: The threshold is at least this.
    """

    metric: Literal["latency"]
    quantile: float = Field(default=0.95, gt=0, lt=1)
    factor: float = Field(default=3.0, ge=1)
    floor_seconds: float = Field(default=0.05, ge=0)


class LogLossCheck(Section):
    """The canary may not predict worse than the stable version, once outcomes come in.

    Attributes:
        metric: Names this check.
        margin: By how much the canary's mean log loss may exceed the stable version's, in nats.
    """

    metric: Literal["log_loss"]
    margin: float = Field(default=0.05, ge=0)


class DisagreementCheck(Section):
    """The canary may not answer otherwise than the stable version, on copies of the same requests, too often.

    Attributes:
        metric: Names this check.
        tolerance: Answers closer than this (a probability; of several classes the furthest one) agree.
        margin: The share of answers that may disagree.
    """

    metric: Literal["disagreement"]
    tolerance: float = Field(default=0.2, ge=0)
    margin: float = Field(default=0.1, gt=0, lt=1)


class ScoreDistributionCheck(Section):
    """The canary's predictions may not be distributed otherwise than the concurrent stable version's.

    Attributes:
        metric: Names this check.
        margin: The largest Kolmogorov-Smirnov distance of the two distributions.
    """

    metric: Literal["score_distribution"]
    margin: float = Field(default=0.15, gt=0, lt=1)


Check = Annotated[
    SuccessRateCheck | LatencyCheck | LogLossCheck | DisagreementCheck | ScoreDistributionCheck,
    Field(discriminator="metric"),
]
SHADOW: Literal["shadow"] = "shadow"
Step = Literal["shadow"] | Annotated[float, Field(ge=0.01, le=100)]


class RolloutSpec(Section):
    """How a new version takes over from the stable one.

    Attributes:
        steps: The canary's share of the traffic at each step, in per cent, growing; then it is promoted. The first may
            be `shadow`: the canary gets copies of the requests, and nobody waits for its answers.
        shadow_percent: The share of the requests that is copied in the step `shadow`.
        minimum_requests: What the canary must have answered at each step before it may go on.
        step_timeout_seconds: How long a step may take; with fewer requests by then the rollout is inconclusive.
        alpha: The chance of rolling back a canary that is as good, over all checks and looks together.
        checks: What is compared between the canary and the concurrent stable version.
        look_seconds: How often the evidence is looked at.
        blind_seconds: For how long the metrics may be unreadable before the rollout ends as inconclusive.
    """

    steps: list[Step] = Field(default=[5.0, 25.0, 50.0], min_length=1)
    shadow_percent: float = Field(default=100.0, gt=0, le=100)
    minimum_requests: int = Field(default=200, ge=1)
    step_timeout_seconds: float = Field(default=90.0, gt=0)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    checks: list[Check] = Field(default=[SuccessRateCheck(metric="success_rate")], min_length=1)
    look_seconds: float = Field(default=0.5, gt=0)
    blind_seconds: float = Field(default=15.0, ge=0)

    @field_validator("steps")
    @classmethod
    def _growing(cls, steps: list[Step]) -> list[Step]:
        shares = [step for step in steps if not isinstance(step, str)]
        if any(later <= earlier for earlier, later in pairwise(shares)):
            raise ValueError("each step must be a larger share than the one before")
        if not shares or "shadow" in steps[1:]:
            raise ValueError("`shadow` may be the first step only, and shares of the traffic must follow it")
        return steps

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [check.metric for check in self.checks]
        if len(set(names)) != len(names):
            raise ValueError("each metric may be checked once")
        if "disagreement" in names and self.steps[0] != SHADOW:
            raise ValueError("disagreement compares answers to the same requests; begin `steps` with shadow")
        return self

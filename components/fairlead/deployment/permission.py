"""Whether a version may serve: its verdicts against the policy, anew each time that it is about to get traffic."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from fairlead.errors import PolicyError, StateError
from fairlead.platform.serving import home
from fairlead.settings import settings
from fairlead.verdicts import require


@dataclass(frozen=True)
class PolicyRecord:
    """Under which policy a version was deployed, for those who act on it by hand later.

    Attributes:
        model: The model's name in the registry.
        policy: The problem's section `policy`, as it was then.
    """

    model: str
    policy: dict[str, Any]

    def write(self, service: str, digest: str) -> None:
        """Keeps it for a version of a service."""
        home().records(service).keep(digest, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def read(cls, service: str, digest: str) -> Self | None:
        """Reads it; None where the version was not deployed by deploy_model.

        Raises:
            StateError: It is corrupt.
        """
        records = home().records(service)
        kept = records.kept(digest)
        if kept is None:
            return None
        try:
            content = json.loads(kept)
            return cls(str(content["model"]), dict(content["policy"]))
        except (ValueError, KeyError, TypeError) as error:
            where = records.where_kept(digest)
            raise StateError(f"{where} does not say a policy ({error!r}); deploy the version again") from None


def require_verdicts(
    model: str, digest: str, policy: Mapping[str, Any], *, aged: bool = False
) -> tuple[str, tuple[str, ...]]:
    """Refuses a model that the policy's judges have not approved.

    Args:
        model: The model's name in the registry.
        digest: The version's identity.
        policy: The problem's section `policy`.
        aged: Whether verdicts of any age count.

    Returns:
        The policy's identity, and the judges that it demands.

    Raises:
        PolicyError: The policy is not one that this place accepts.
        VerdictError: A verdict is missing, failed, for another digest, not signed as demanded, or too old.
    """
    from fairlead.registry import store
    from fairlead.registry.policy import demand_at, digest_of
    from fairlead.registry.spec import PolicySpec

    demand = demand_at(policy, "deployment", model, aged=aged)
    if demand.judges:
        require(store.verdicts(model, digest), demand, digest)
    return digest_of(PolicySpec.parse(policy, where="policy")), tuple(demand.judges)


def require_recorded(service: str, digest: str, *, aged: bool = False) -> None:
    """Refuses a version that the policy under which it was deployed would refuse today.

    Args:
        service: The service.
        digest: The version's identity.
        aged: Whether verdicts of any age count: what served before must not be kept away by a date.

    Raises:
        PolicyError: This place accepts certain policies only, and none is on record or not one of those.
        VerdictError: A verdict is missing, failed, for another digest, not signed as demanded, or too old.
    """
    record, place = PolicyRecord.read(service, digest), settings()
    if record is not None:
        require_verdicts(record.model, digest, record.policy, aged=aged)
    elif place.policy_digest or place.policy_trust_file:
        raise PolicyError(
            f"under which policy {service} {digest[:19]} was deployed is not on record, and this place accepts certain "
            "policies only; deploy it by deploy_model"
        )

"""Which component does what: its stage, what it may do on the cluster, and the service account that a run needs.

KFP gives a run ONE service account, which all its steps share. Least privilege is therefore a matter of what a run
does: a run that only evaluates needs no right on the cluster, and one that tunes, trains and deploys needs all three.
"""

from collections.abc import Iterable

from pydantic import Field

from fairlead import components as catalog
from fairlead.sections import Section

COMPONENTS: dict[str, str] = {
    name: getattr(catalog, name).python_func.__module__.split(".")[1] for name in catalog.__all__
}
STAGES = sorted(set(COMPONENTS.values()))
# What acts on the cluster or on other systems, or looks at what changes there: reusing its outcome would be a lie.
OUTWARD = frozenset(
    {"check_feature_skew", "deploy_model", "fetch_model", "materialize_features", "register_model", "roll_out_model"}
)
_ACTING = ("tuning", "training", "deployment")  # the stages whose components use the Kubernetes API


class ServiceAccounts(Section):
    """The service accounts of runs.

    Attributes:
        pipeline: For a run that creates nothing on the cluster: data, features, evaluation, registry.
        tuning: For a run that tunes and does nothing else there.
        training: For a run that trains and does nothing else there.
        deployment: For a run that deploys and does nothing else there.
        run: For a run that does several of them; it needs the roles of all three.
    """

    pipeline: str = Field(default="", pattern=r"^[a-z0-9.-]*$")
    tuning: str = Field(default="", pattern=r"^[a-z0-9.-]*$")
    training: str = Field(default="", pattern=r"^[a-z0-9.-]*$")
    deployment: str = Field(default="", pattern=r"^[a-z0-9.-]*$")
    run: str = Field(default="", pattern=r"^[a-z0-9.-]*$")


def roles(components: Iterable[str]) -> list[str]:
    """The stages of a run that need rights on the cluster.

    Args:
        components: The names of the run's components.

    Returns:
        Some of tuning, training and deployment, in that order.
    """
    found = {COMPONENTS.get(name, "") for name in components}
    return [stage for stage in _ACTING if stage in found]


def account_for(components: Iterable[str], accounts: ServiceAccounts) -> str:
    """The least service account with which a run can do its work.

    Args:
        components: The names of the run's components.
        accounts: The accounts that the place has.

    Returns:
        Its name; empty where the place names none, so that KFP takes its own default.
    """
    needed = roles(components)
    if len(needed) > 1:
        return accounts.run
    return str(getattr(accounts, needed[0] if needed else "pipeline"))

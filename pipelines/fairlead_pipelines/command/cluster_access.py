"""What this user and fairlead's service accounts may do on the cluster, and the command that allows the rest."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.permissions import FAMILIES, OPERATOR, Permission, granted
from fairlead_pipelines.command.checks import Check
from fairlead_pipelines.command.cluster_namespace import apply_overlay

_SHOWN = 4


def check_permissions(cluster: Cluster, needed: Iterable[str]) -> Iterator[Check]:
    """Yields what this user may not do of what each family does.

    A pipeline's tasks run under service accounts of their own; these are the rights for tuning, training and rolling
    out from here, and for `fairlead promote` and `rollback`.

    Args:
        cluster: The cluster and namespace.
        needed: The families.
    """
    user = who_am_i(cluster)
    for family in needed:
        wanted = OPERATOR if family == "deployment" else FAMILIES[family]
        refused = [permission for permission in wanted if not allows(cluster, permission)]
        name = f"your {family}"
        if not refused:
            yield Check(name, "good", f"{user or 'this user'} may do all that {family} takes")
            continue
        role = "fairlead-operator" if family == "deployment" else f"fairlead-{family}"
        yield Check(name, "warn", f"{user or 'this user'} may not {said(refused)}", bind(cluster.namespace, role, user))


def allows(cluster: Cluster, permission: Permission) -> bool:
    """Whether this user has a permission in the namespace.

    Args:
        cluster: The cluster and namespace.
        permission: What is asked.
    """
    return cluster.may(permission.verb, permission.kind, permission.name, subresource=permission.subresource)


def said(refused: Sequence[Permission]) -> str:
    """A few of what is refused, in words."""
    more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
    return ", ".join(str(permission) for permission in refused[:_SHOWN]) + more


def bind(namespace: str, role: str, user: str) -> str:
    """The command that gives a user a Role; an administrator of the namespace runs it."""
    parts = user.split(":")
    if parts[:2] == ["system", "serviceaccount"]:
        whom, short = f"--serviceaccount={parts[2]}:{parts[3]}", parts[3]
    else:
        whom, short = f"--user='{user or 'YOU'}'", "".join(c if c.isalnum() else "-" for c in user.lower()) or "you"
    return f"kubectl -n {namespace} create rolebinding {role}-{short.strip('-')} --role={role} {whom}"


def who_am_i(cluster: Cluster) -> str:
    """The name by which the API server knows this user."""
    kind = kinds.SELF_SUBJECT_REVIEW
    if not cluster.has(kind):
        return ""
    found = cluster.create({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}})
    return str(found["status"]["userInfo"].get("username", ""))


def check_accounts(cluster: Cluster, needed: Sequence[str]) -> Iterator[Check]:
    """Yields whether the service account of such runs is there and may do what its families do.

    Args:
        cluster: The cluster and namespace.
        needed: The families.
    """
    account = account_of(needed)
    if not cluster.may("get", kinds.SERVICE_ACCOUNT, account):
        yield Check("run's account", "warn", f"this user may not look at {account}")
        return
    if cluster.get(kinds.SERVICE_ACCOUNT, account) is None:
        mend = apply_overlay(cluster.namespace)
        yield Check("run's account", "bad", f"there is no service account {account}", mend)
        return
    if not cluster.may("create", kinds.LOCAL_SUBJECT_ACCESS_REVIEW):
        yield Check("run's account", "good", f"{account} is there; this user may not ask what it may do")
        return
    refused = [wanted for wanted in granted(account) if not _account_may(cluster, account, wanted)]
    if refused:
        mend = apply_overlay(cluster.namespace)
        yield Check("run's account", "bad", f"{account} may not {said(refused)}", mend)
    else:
        yield Check("run's account", "good", f"{account} may do all that it needs")


def account_of(needed: Sequence[str]) -> str:
    """The service account of a run that does what some families do."""
    if len(needed) > 1:
        return "fairlead-run"
    return f"fairlead-{needed[0]}" if needed else "fairlead-pipeline"


def _account_may(cluster: Cluster, account: str, wanted: Permission) -> bool:
    """Whether a service account of the namespace has a permission there."""
    asked: dict[str, Any] = {
        "namespace": cluster.namespace, "verb": wanted.verb, "group": wanted.kind.group, "name": wanted.name,
        "resource": wanted.kind.plural, "subresource": wanted.subresource,
    }  # fmt: skip
    user = f"system:serviceaccount:{cluster.namespace}:{account}"
    review = {
        "apiVersion": kinds.LOCAL_SUBJECT_ACCESS_REVIEW.api_version, "kind": kinds.LOCAL_SUBJECT_ACCESS_REVIEW.kind,
        "metadata": {"namespace": cluster.namespace},
        "spec": {"user": user, "groups": _groups(cluster.namespace), "resourceAttributes": asked},
    }  # fmt: skip
    return bool(cluster.create(review)["status"].get("allowed"))


def _groups(namespace: str) -> list[str]:
    """The groups that every service account of a namespace belongs to."""
    return ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]

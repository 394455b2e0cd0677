"""The Roles of manifests/base/permissions: each verb is one that its family uses, and nothing else is allowed.

Every family's work is done as its service account, against the real API server: first with its whole Role, and noted
which verbs it uses; then, for each verb, with a Role without it, which must be refused in words that name it.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import yaml
from acting import NAME, Acting, is_refused, train, tune, user_of
from kustomize import MANIFESTS
from overlay_copies import kubectl

from fairlead.errors import FairleadError
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster, RefusedError
from fairlead.platform.kubeflow.kinds import Kind
from fairlead.platform.kubeflow.permissions import ACCOUNTS, FAMILIES, Permission, granted

pytestmark = pytest.mark.cluster

FORBIDDEN = (  # what would let a task take over more than it was given, or look where it has no business
    ("", "secrets", ""), ("", "serviceaccounts", ""), ("", "serviceaccounts", "token"), ("", "pods", "exec"),
    ("", "pods", "attach"), ("", "pods", "portforward"), ("", "pods", "ephemeralcontainers"), ("", "pods", "eviction"),
    ("", "nodes", ""), ("", "nodes", "proxy"), ("", "namespaces", ""), ("", "persistentvolumes", ""),
    ("", "services", "proxy"), ("", "resourcequotas", ""), ("apps", "deployments", "scale"), ("apps", "daemonsets", ""),
    ("batch", "jobs", ""), ("rbac.authorization.k8s.io", "roles", ""),
    ("rbac.authorization.k8s.io", "rolebindings", ""),
    ("rbac.authorization.k8s.io", "clusterroles", ""), ("rbac.authorization.k8s.io", "clusterrolebindings", ""),
    ("networking.k8s.io", "networkpolicies", ""), ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", ""),
    ("apiextensions.k8s.io", "customresourcedefinitions", ""), ("serving.kserve.io", "clusterservingruntimes", ""),
    ("serving.kserve.io", "servingruntimes", ""), ("gateway.networking.k8s.io", "gateways", ""),
    ("certificates.k8s.io", "certificatesigningrequests", ""),
)  # fmt: skip
EVERYBODY = {"authorization.k8s.io", "authentication.k8s.io"}  # to ask what one may do, and who one is


@pytest.fixture
def roles(namespace: str) -> str:
    """A namespace with the accounts, Roles and bindings of the manifests."""
    made = kubectl("kustomize", str(MANIFESTS / "base" / "permissions"))
    assert made.returncode == 0, made.stderr
    done = kubectl("apply", "--server-side", "--namespace", namespace, "-f", "-", stdin=made.stdout)
    assert done.returncode == 0, done.stderr
    for binding in (
        "pipeline",
        "tuning",
        "training",
        "deployment",
    ):  # subjects without a namespace are kustomize's work
        role = next(d for d in yaml.safe_load_all(made.stdout) if _is(d, "RoleBinding", f"fairlead-{binding}"))
        role["subjects"] = [subject | {"namespace": namespace} for subject in role["subjects"]]
        done = kubectl("replace", "--namespace", namespace, "-f", "-", stdin=yaml.safe_dump(role))
        assert done.returncode == 0, done.stderr
    return namespace


def _is(document: dict[str, Any], kind: str, name: str) -> bool:
    return bool(document["kind"] == kind and document["metadata"]["name"] == name)


def without(role: dict[str, Any], taken: Permission) -> dict[str, Any]:
    """A Role with one verb on one resource taken away."""
    rules = []
    for rule in role["rules"]:
        for resource in rule["resources"]:
            same = (taken.kind.group in rule["apiGroups"], resource) == (True, taken.resource)
            verbs = [verb for verb in rule["verbs"] if not (same and verb == taken.verb)]
            if verbs:
                rules.append(rule | {"resources": [resource], "verbs": verbs})
    return {"apiVersion": role["apiVersion"], "kind": "Role", "metadata": {"name": role["metadata"]["name"]}, "rules": rules}  # fmt: skip  # noqa: E501


def role_of(family: str) -> dict[str, Any]:
    """The Role of a family, as the manifests write it."""
    text = (MANIFESTS / "base" / "permissions" / f"{family}.yaml").read_text()
    return next(document for document in yaml.safe_load_all(text) if document["kind"] == "Role")


def put(role: dict[str, Any], namespace: str) -> None:
    """Replaces a Role."""
    done = kubectl("replace", "--namespace", namespace, "-f", "-", stdin=yaml.safe_dump(role))
    assert done.returncode == 0, done.stderr


def served(cluster: Cluster, family: str) -> list[Permission]:
    """The permissions of a family on kinds that this cluster has; of others the API server knows nothing."""
    return [permission for permission in FAMILIES[family] if cluster.has(permission.kind)]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_verb_is_needed(family: str, roles: str, cluster: Cluster) -> None:
    """With the whole Role each request of the family is let through; with the verb away it is refused, by name."""
    mine = Cluster(cluster._client, roles, cluster.where)
    acting = Acting(mine, f"fairlead-{family}")
    role = role_of(family)
    shared = {p for other in ACCOUNTS[f"fairlead-{family}"] if other != family for p in FAMILIES[other]}
    for permission in served(cluster, family):
        if permission in shared:
            continue  # the account has it from another Role as well
        assert not _eventually(partial(is_refused, acting, permission), wanted=False), f"with all: {permission}"
        put(without(role, permission), roles)
        said = _eventually(partial(is_refused, acting, permission), wanted=True)
        assert f'cannot {permission.verb} resource "{permission.resource}"' in said, f"without: {permission}: {said}"
        assert "manifests/base/permissions" in said
        put(role, roles)


def _eventually(ask: Callable[[], str], *, wanted: bool) -> str:
    """Asks until the authorizer has heard of a changed Role, which takes it a moment."""
    said = ""
    for _ in range(100):
        said = ask()
        if bool(said) == wanted:
            break
        time.sleep(0.1)
    return said


@pytest.mark.parametrize(("family", "kind", "work"), [("tuning", kinds.EXPERIMENT, tune), ("training", kinds.TRAIN_JOB, train)])  # fmt: skip  # noqa: E501
def test_the_real_clients_need_each_verb(family: str, kind: Kind, work: Callable[[Cluster], None], roles: str, cluster: Cluster) -> None:  # fmt: skip  # noqa: E501
    """The clients of Katib and Trainer do their work with the whole Role, use all of it, and fail without any verb."""
    if not cluster.has(kind):
        pytest.skip(f"the cluster has no {kind.kind} ({kind.group})")
    if family == "training":
        kubectl(
            "apply", "--server-side", "--namespace", roles, "-f", str(MANIFESTS / "components/training/runtime.yaml")
        )
    label = "katib.kubeflow.org/metrics-collector-injection=enabled"
    assert kubectl("label", "--overwrite", "namespace", roles, label).returncode == 0
    acting = Acting(Cluster(cluster._client, roles, cluster.where), f"fairlead-{family}")
    _do(work, acting)
    assert {(p.kind.group, p.resource, p.verb) for p in FAMILIES[family]} - acting.used == set()
    role = role_of(family)
    for permission in FAMILIES[family]:
        put(without(role, permission), roles)
        assert _eventually(partial(is_refused, acting, permission), wanted=True), permission
        with pytest.raises(RefusedError, match=f'cannot {permission.verb} resource "{permission.resource}"'):
            _do(work, acting)
        put(role, roles)
        assert not _eventually(partial(is_refused, acting, permission), wanted=False), permission
        cluster.delete(kind, NAME, roles)
        _gone(cluster, kind, roles)


def _do(work: Callable[[Cluster], None], acting: Cluster) -> None:
    """Does the work, again where a busy cluster's webhook did not answer in time."""
    for _ in range(4):
        try:
            return work(acting)
        except FairleadError as error:
            if "failed calling webhook" not in str(error):
                raise
    return work(acting)


def _gone(cluster: Cluster, kind: Kind, namespace: str) -> None:
    for _ in range(200):
        if cluster.get(kind, NAME, namespace) is None:
            return
        time.sleep(0.1)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_may_do_what_the_table_says_and_nothing_else(account: str, roles: str, cluster: Cluster) -> None:
    """The authorizer's own list of what the account may do is the table; beside it only what everybody may ask."""
    acting = Acting(Cluster(cluster._client, roles, cluster.where), account)
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": roles}}
    wanted = {(p.kind.group, p.resource, p.verb, p.name) for p in granted(account)}

    def differs() -> str:
        status = acting._json("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body=body)["status"]
        found = {
            (group, resource, verb, name)
            for rule in status["resourceRules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
            for name in rule.get("resourceNames") or [""]
            if group not in EVERYBODY
        }
        return "" if found == wanted else str(found ^ wanted)

    assert _eventually(differs, wanted=False) == ""


@pytest.mark.parametrize("account", ACCOUNTS)
def test_what_would_be_dangerous_is_denied(account: str, roles: str, cluster: Cluster) -> None:
    """SubjectAccessReviews over verbs and resources, here, in kube-system and cluster-wide: no."""
    allowed = {(p.kind.group, p.kind.plural, p.subresource, p.verb) for p in granted(account)}
    asked = 0
    for group, resource, subresource in FORBIDDEN:
        for verb, namespace in (("get", roles), ("create", roles), ("delete", "kube-system"), ("list", "")):
            if namespace == roles and (group, resource, subresource, verb) in allowed:
                continue
            asked += 1
            assert not _allowed(cluster, roles, account, group, resource, subresource, verb, namespace)
    for group, resource in (("", "pods"), ("", "configmaps"), ("serving.kserve.io", "inferenceservices")):
        for namespace in ("kube-system", "default", ""):
            for verb in ("get", "create"):
                assert not _allowed(cluster, roles, account, group, resource, "", verb, namespace)
    assert asked > len(FORBIDDEN)


def _allowed(
    cluster: Cluster, home: str, account: str, group: str, resource: str, subresource: str, verb: str, namespace: str
) -> bool:
    attributes = {
        "group": group,
        "resource": resource,
        "subresource": subresource,
        "verb": verb,
        "namespace": namespace,
    }
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{home}", "system:authenticated"]
    spec = {"user": user_of(home, account), "groups": groups, "resourceAttributes": attributes}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    found = cluster._json("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
    return bool(found["status"].get("allowed"))

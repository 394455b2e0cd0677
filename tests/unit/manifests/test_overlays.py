"""What the overlays make of the base, built by kubectl."""

from copy import deepcopy
from typing import Any

import pytest
from kustomize import ENVIRONMENTS, MANIFESTS, build, named, of_kind, overlay, pod_specs

FAMILIES = ("pipeline", "tuning", "training", "deployment")
Object = dict[str, Any]


def rules(role: Object) -> set[tuple[str, str, str]]:
    """The (group, resource, verb) that a Role grants."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_everything_lies_in_the_environments_namespaces(environment: str) -> None:
    """Two namespaces of its own, and of KServe's one Role and its binding under a name that clashes with no other."""
    objects = overlay(environment)
    spaces = {f"fairlead-{environment}", f"fairlead-{environment}-stores"}
    assert {found["metadata"]["name"] for found in of_kind(objects, "Namespace")} == spaces
    for found in objects:
        if found["kind"] == "Namespace":
            continue
        space = found["metadata"]["namespace"]
        if space == "kserve":
            assert found["metadata"]["name"] == f"fairlead-kserve-reader-{environment}"
        else:
            assert space in spaces, found["metadata"]
        assert found["metadata"]["labels"]["app.kubernetes.io/instance"] == environment


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_bindings_name_accounts_that_are_there(environment: str) -> None:
    """Each family's account and `fairlead-run` have its Role, in this environment's namespace; models' pods none."""
    objects, space = overlay(environment), f"fairlead-{environment}"
    accounts = {(a["metadata"]["namespace"], a["metadata"]["name"]) for a in of_kind(objects, "ServiceAccount")}
    bound: dict[str, set[str]] = {}
    for binding in of_kind(objects, "RoleBinding"):
        for subject in binding["subjects"]:
            assert (subject["namespace"], subject["name"]) in accounts
            assert subject["namespace"] == space
            bound.setdefault(binding["roleRef"]["name"], set()).add(subject["name"])
    assert bound == {
        "fairlead-pipeline": {*(f"fairlead-{family}" for family in FAMILIES), "fairlead-run"},
        "fairlead-tuning": {"fairlead-tuning", "fairlead-run"},
        "fairlead-training": {"fairlead-training", "fairlead-run"},
        "fairlead-deployment": {"fairlead-deployment", "fairlead-run"},
        f"fairlead-kserve-reader-{environment}": {"fairlead-deployment", "fairlead-run"},
    }


def test_an_operator_may_do_what_the_deployment_account_may() -> None:
    """Promoting by hand needs no more and no less; a viewer changes nothing."""
    objects = overlay("production")
    operator, deployment, viewer = (
        rules(named(objects, "Role", f"fairlead-{name}")) for name in ("operator", "deployment", "viewer")
    )
    assert operator - deployment == {("", "pods/proxy", "get")}
    assert deployment <= operator
    assert {verb for *_, verb in viewer} == {"get", "list"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_pods_are_restricted(environment: str) -> None:
    """Each container runs as another than root on a read-only file system, with no capability and bounded memory."""
    specs = list(pod_specs(overlay(environment)))
    assert len(specs) >= 3
    for whose, spec in specs:
        pod = spec.get("securityContext", {})
        for container in spec["containers"]:
            context = {**pod, **container.get("securityContext", {})}
            assert context["runAsNonRoot"] is True, whose
            assert context["readOnlyRootFilesystem"] is True, whose
            assert context["allowPrivilegeEscalation"] is False, whose
            assert context["capabilities"] == {"drop": ["ALL"]}, whose
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, whose
            if "image" in container:
                assert ":" in container["image"].rpartition("/")[2], whose


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_only_the_own_environment_is_let_in(environment: str) -> None:
    """Where a policy names fairlead's namespaces it names those of its environment."""
    found = 0
    for policy in of_kind(overlay(environment), "NetworkPolicy"):
        spec = policy["spec"]
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            for peer in [*rule.get("from", []), *rule.get("to", [])]:
                labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
                if labels:
                    found += 1
                    assert labels["app.kubernetes.io/instance"] == environment, policy["metadata"]["name"]
    assert found == 4


def test_levels_of_pod_security() -> None:
    """`restricted` is enforced everywhere but where Katib's stock configuration needs `baseline`."""
    levels = {
        found["metadata"]["name"]: found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for environment in ENVIRONMENTS
        for found in of_kind(overlay(environment), "Namespace")
    }
    assert levels.pop("fairlead-staging") == "baseline"
    assert set(levels.values()) == {"restricted"}


def test_one_line_names_the_registry() -> None:
    """The setting's prefix comes before every image of an overlay with the component."""
    objects = overlay("production")
    prefix = named(objects, "ConfigMap", "fairlead-settings")["data"]["FAIRLEAD_IMAGE_REGISTRY"]
    images = [c["image"] for _, spec in pod_specs(objects) for c in spec["containers"] if "image" in c]
    assert images
    assert all(image.startswith(f"{prefix}/") and not image.startswith(f"{prefix}//") for image in images)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_runtime_is_the_one_of_kserve(environment: str) -> None:
    """Of this namespace alone, and otherwise as kserve/ has it, but for the image's registry."""
    (runtime,) = deepcopy(of_kind(overlay(environment), "ServingRuntime"))
    (original,) = deepcopy(of_kind(build(MANIFESTS.parent / "kserve"), "ClusterServingRuntime"))
    assert runtime["metadata"]["namespace"] == f"fairlead-{environment}"
    (ours,), (theirs,) = (list(found["spec"].pop("containers")) for found in (runtime, original))
    assert runtime["spec"] == original["spec"]
    assert ours.pop("image").endswith(theirs.pop("image"))
    assert ours == theirs


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_monitoring_is_applied_by_itself(environment: str) -> None:
    """Its kinds are not on every cluster, so the overlay has none of them."""
    alone = build(MANIFESTS / "overlays" / environment / "monitoring")
    assert {found["kind"] for found in alone} == {"PodMonitor", "PrometheusRule", "AlertmanagerConfig"}
    assert {found["metadata"]["namespace"] for found in alone} == {f"fairlead-{environment}"}
    (route,) = of_kind(alone, "AlertmanagerConfig")
    assert f".fairlead-{environment}.svc" in route["spec"]["receivers"][0]["webhookConfigs"][0]["url"]
    assert not {found["kind"] for found in overlay(environment)} & {found["kind"] for found in alone}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_mlflow_starts_no_more_processes_than_its_memory_holds(environment: str) -> None:
    """As it comes (four workers, a runner of jobs with consumers of its own) it outgrew 2 GiB and was killed."""
    (stateful,) = [one for one in of_kind(overlay(environment), "StatefulSet") if "mlflow" in one["metadata"]["name"]]
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--workers", "2"]
    assert {"name": "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "value": "false"} in container["env"]

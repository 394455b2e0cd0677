"""What can be said of manifests/ by reading its files: nothing is dangling, nothing secret, nothing forgotten."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kustomize import ENVIRONMENTS, MANIFESTS

FILES = sorted(MANIFESTS.rglob("*.yaml"))
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "Job"}


def documents() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every document of every file that is no kustomization."""
    for file in FILES:
        for document in yaml.safe_load_all(file.read_text()):
            if file.name != "kustomization.yaml":
                yield file, document


def referenced(kustomization: Path) -> Iterator[Path]:
    """The files and folders that a kustomization names."""
    content = yaml.safe_load(kustomization.read_text())
    patches = [patch["path"] for patch in content.get("patches") or [] if "path" in patch]
    for name in [*(content.get("resources") or []), *(content.get("components") or []), *patches]:
        yield (kustomization.parent / name).resolve()


def test_every_reference_leads_somewhere_and_every_file_is_used() -> None:
    """No kustomization names what is not there, and no file lies about unused."""
    used = set()
    for kustomization in MANIFESTS.rglob("kustomization.yaml"):
        for target in referenced(kustomization):
            assert (target / "kustomization.yaml").is_file() or target.is_file(), f"{kustomization}: {target}"
            used.add(target)
    assert {file.resolve() for file in FILES if file.name != "kustomization.yaml"} <= used


def test_no_secret_is_written_down() -> None:
    """Secrets are referred to; none is made here, and no environment variable holds a password."""
    for file, document in documents():
        assert document["kind"] != "Secret", file
    text = "\n".join(file.read_text() for file in FILES)
    assert "secretGenerator" not in text
    for value in re.findall(r"(?i)(?:password|secret_access_key|token): *(\S+)", text):
        assert value in {"true", "false"}, value


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_images_are_pinned(environment: str) -> None:
    """Every image of the workloads has a tag in the overlay, and none is `latest`."""
    overlay = yaml.safe_load((MANIFESTS / "overlays" / environment / "versions" / "kustomization.yaml").read_text())
    tags = {image["name"]: image["newTag"] for image in overlay["images"]}
    for file, document in documents():
        if document["kind"] in WORKLOADS and "template" in document["spec"]:
            for container in document["spec"]["template"]["spec"].get("containers", []):
                if "image" in container:
                    assert tags.get(container["image"].partition(":")[0]), f"{file}: {container['image']}"
    assert "latest" not in tags.values()


def test_permissions_are_spelt_out() -> None:
    """No wildcard, nothing cluster-wide, nothing that would let an account give itself more."""
    for file, document in documents():
        assert document["kind"] not in {"ClusterRole", "ClusterRoleBinding"}, file
        for rule in document.get("rules", []) if document["kind"] == "Role" else []:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], file
            assert not {"escalate", "bind", "impersonate", "deletecollection"} & set(rule["verbs"]), file
            assert not {"pods/exec", "pods/attach", "serviceaccounts/token", "roles", "rolebindings"} & set(
                rule["resources"]
            ), file
            if "secrets" in rule["resources"]:
                assert rule["resourceNames"], file


def test_every_network_policy_gives_its_reason() -> None:
    """And the first denies everything, in each namespace."""
    policies = [(file, found) for file, found in documents() if found["kind"] == "NetworkPolicy"]
    for file, policy in policies:
        reason = policy["metadata"].get("annotations", {}).get("fairlead.dev/reason", "")
        assert len(reason.split()) > 3, f"{file}: {policy['metadata']['name']}"
    denied = [policy for _, policy in policies if policy["metadata"]["name"] == "deny-all"]
    assert [policy["spec"] for policy in denied] == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}] * 2


def test_no_deprecated_version_is_used() -> None:
    """Kustomizations use the fields of today, objects no version that Kubernetes has dropped or will drop."""
    for kustomization in MANIFESTS.rglob("kustomization.yaml"):
        content = yaml.safe_load(kustomization.read_text())
        assert not {"bases", "patchesStrategicMerge", "patchesJson6902", "commonLabels", "vars"} & set(content)
    for file, document in documents():
        if not document["apiVersion"].startswith(("serving.kserve.io", "trainer.kubeflow.org", "monitoring.")):
            assert not re.search(r"(alpha|beta)\d", document["apiVersion"]), file

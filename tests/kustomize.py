"""Builds what manifests/ makes, by kubectl, and reads it back."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFESTS = Path(__file__).resolve().parents[1] / "manifests"
ENVIRONMENTS = ("staging", "canary", "production")
Object = dict[str, Any]


@cache
def build(folder: Path) -> tuple[Object, ...]:
    """All objects that a kustomization makes; skips the test where there is no kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("install kubectl: it builds the overlays")
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower(), done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def overlay(environment: str) -> tuple[Object, ...]:
    """All objects of an environment."""
    return build(MANIFESTS / "overlays" / environment)


def of_kind(objects: tuple[Object, ...], *kinds: str) -> list[Object]:
    """Those of some kinds."""
    return [found for found in objects if found["kind"] in kinds]


def named(objects: tuple[Object, ...], kind: str, name: str) -> Object:
    """The one of a kind and name."""
    (found,) = [found for found in of_kind(objects, kind) if found["metadata"]["name"] == name]
    return found


def pod_specs(objects: tuple[Object, ...]) -> Iterator[tuple[str, Object]]:
    """The specification of every pod that the objects lead to, and whose it is."""
    for found in objects:
        whose = f"{found['kind']}/{found['metadata']['name']}"
        match found["kind"]:
            case "Deployment" | "StatefulSet" | "DaemonSet" | "Job":
                yield whose, found["spec"]["template"]["spec"]
            case "ServingRuntime" | "ClusterServingRuntime":
                yield whose, found["spec"]
            case "TrainingRuntime" | "ClusterTrainingRuntime":
                for job in found["spec"]["template"]["spec"]["replicatedJobs"]:
                    yield whose, job["template"]["spec"]["template"]["spec"]

"""The overlays, applied to a real cluster under names that nobody else has, and removed again."""

import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pytest
from kustomize import MANIFESTS, build

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster

NEEDED = {"ServingRuntime (KServe)": kinds.SERVING_RUNTIME, "TrainingRuntime (Trainer)": kinds.TRAINING_RUNTIME}

_TRIES, _PAUSE_SECONDS = 10, 6.0


@dataclass(frozen=True)
class Applied:
    """An overlay that was applied.

    Attributes:
        folder: Its kustomization.
        namespace: Where work is done.
        stores: The namespace of the stores.
        said: What kubectl wrote to its standard error.
    """

    folder: Path
    namespace: str
    stores: str
    said: str


def kubectl(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """What kubectl says; the test decides what that means. Skips it where there is no kubectl."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("install kubectl: it applies the overlays")
    return subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True, check=False)


def copy_overlay(environment: str, folder: Path) -> Applied:
    """Copies manifests/ and kserve/ with other names for the environment's namespaces.

    Args:
        environment: The overlay.
        folder: Where to.
    """
    token = uuid.uuid4().hex[:6]
    root = MANIFESTS.parent
    shutil.copytree(MANIFESTS, folder / "manifests")
    shutil.copytree(root / "kserve", folder / "kserve", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for file in (folder / "manifests" / "overlays" / environment).rglob("*.yaml"):
        text = file.read_text().replace(f"fairlead-{environment}", f"fairlead-{token}-{environment}")
        file.write_text(text.replace(f"nameSuffix: -{environment}", f"nameSuffix: -{token}-{environment}"))
    space = f"fairlead-{token}-{environment}"
    return Applied(folder / "manifests" / "overlays" / environment, space, f"{space}-stores", "")


def _apply(folder: Path) -> subprocess.CompletedProcess[str]:
    """Applies, again where a busy cluster's webhook did not answer in time."""
    done = kubectl("apply", "--server-side", "-k", str(folder))
    for _ in range(_TRIES - 1):
        if "failed calling webhook" not in done.stderr:
            break
        time.sleep(_PAUSE_SECONDS)
        done = kubectl("apply", "--server-side", "-k", str(folder))
    return done


def apply_storage_initializer(cluster: Cluster) -> None:
    """Applies what manifests/cluster shares, with the storage initializer's image that this cluster has."""
    (found,) = [one for one in build(MANIFESTS / "cluster") if one["kind"] == kinds.CLUSTER_STORAGE_CONTAINER.kind]
    made, own = deepcopy(found), cluster.get(kinds.CLUSTER_STORAGE_CONTAINER, "default")
    if own is not None:
        made["spec"]["container"]["image"] = own["spec"]["container"]["image"]
    cluster.apply(made)


@contextmanager
def applied(
    cluster: Cluster, environment: str, folder: Path, fill_in: Callable[[Applied], None] = lambda _: None
) -> Iterator[Applied]:
    """Applies a copy of an overlay while the block lasts; skips the test where the cluster lacks its kinds.

    Args:
        cluster: Where to.
        environment: The overlay.
        folder: Where its copy goes.
        fill_in: What is changed in the copy before it is applied.
    """
    for name, kind in NEEDED.items():
        if not cluster.has(kind):
            pytest.skip(f"the cluster has no {name}, which the overlays make")
    copy = copy_overlay(environment, folder)
    fill_in(copy)
    try:
        done = _apply(copy.folder)
        assert done.returncode == 0, done.stderr
        yield Applied(copy.folder, copy.namespace, copy.stores, done.stderr)
    finally:
        kubectl("delete", "--ignore-not-found", "--wait=false", "-k", str(copy.folder))

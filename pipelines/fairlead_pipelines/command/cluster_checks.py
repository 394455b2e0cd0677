"""What `fairlead doctor --cluster` looks at: what the cluster has, and what that means for a pipeline."""

import re
from collections.abc import Collection, Iterator

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.inventory import Inventory, take_inventory
from fairlead.settings import Settings
from fairlead_pipelines.command.checks import Check
from fairlead_pipelines.command.cluster_access import check_accounts, check_permissions
from fairlead_pipelines.command.cluster_images import check_images, pull_images
from fairlead_pipelines.command.cluster_namespace import apply_overlay, check_namespace
from fairlead_pipelines.command.cluster_stores import check_stores

OLDEST = (1, 30)  # ValidatingAdmissionPolicy and the Pod Security levels that the manifests rely on are stable since
ACTING = ("tuning", "training", "deployment")
ROLLOUTS = frozenset({"deploy_model", "roll_out_model"})
_RELEASES = "https://github.com/{}/releases/download/{}"
INSTALL = {
    "kserve": f"kubectl apply --server-side -f {_RELEASES.format('kserve/kserve', 'v0.20.0/kserve.yaml')}",
    "gateway": "kubectl apply --server-side -f "
    + _RELEASES.format("kubernetes-sigs/gateway-api", "v1.3.0/standard-install.yaml"),
    "katib": "kubectl apply -k 'github.com/kubeflow/katib.git/manifests/v1beta1/installs/katib-standalone?ref=v0.19.0'",
    "trainer": "kubectl apply --server-side -k 'github.com/kubeflow/trainer.git/manifests/overlays/manager?ref=v2.0.0'",
    "kfp": "kubectl apply -k 'github.com/kubeflow/pipelines/manifests/kustomize/env/platform-agnostic?ref=2.17.0'",
    "prometheus": "kubectl apply --server-side -f "
    + _RELEASES.format("prometheus-operator/prometheus-operator", "v0.86.0/bundle.yaml"),
}


def check_cluster(place: Settings, components: Collection[str], *, deep: bool = False) -> Iterator[Check]:
    """Yields everything that is found of the cluster and of the namespace that is to be used.

    Args:
        place: The settings.
        components: The components of the pipeline that is to run; empty: whatever may come.
        deep: Whether pods may be made in the namespace, to pull images and to ask the stores from where tasks run.
    """
    try:
        cluster = Cluster.connect(place)
        found = take_inventory(cluster)
    except PlatformError as error:
        yield Check("cluster", "bad", str(error), "kubectl config get-contexts")
        return
    needed = families(components)
    yield _kubernetes(cluster, found)
    yield from check_parts(found, components)
    yield from check_split(place, found, components)
    exists = cluster.get(kinds.NAMESPACE, cluster.namespace) is not None if _may_look(cluster) else True
    if not exists:
        yield Check("namespace", "bad", f"there is no namespace {cluster.namespace}", apply_overlay(cluster.namespace))
        return
    yield from check_namespace(cluster, found, needed)
    yield from check_permissions(cluster, needed)
    yield from check_accounts(cluster, needed)
    yield from check_images(cluster, place, components)
    if deep:
        yield from pull_images(cluster, place, components)
    yield from check_stores(cluster, place, deep=deep)


def families(components: Collection[str]) -> tuple[str, ...]:
    """The families of components that act on the cluster; all of them where no pipeline is named.

    Args:
        components: The names of a pipeline's components.
    """
    if not components:
        return ACTING
    from fairlead_pipelines.packages.families import roles

    return tuple(roles(components))


def components_of(specification: object) -> set[str]:
    """The names of the components in a compiled pipeline, those of its inner pipelines too.

    Args:
        specification: The pipeline specification (protobuf).
    """
    names = getattr(specification, "components", {})
    return {re.sub(r"-\d+$", "", name.removeprefix("comp-")).replace("-", "_") for name in names}


def _may_look(cluster: Cluster) -> bool:
    return cluster.may("get", kinds.NAMESPACE, cluster.namespace)


def _kubernetes(cluster: Cluster, found: Inventory) -> Check:
    """Says which Kubernetes it is."""
    numbers = re.match(r"v?(\d+)\.(\d+)", found.kubernetes)
    finding = f"{found.kubernetes or 'of unknown version'} at {cluster.where}, namespace {cluster.namespace}"
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST:
        oldest = ".".join(str(part) for part in OLDEST)
        return Check("Kubernetes", "warn", f"{finding}; tested from {oldest} on", "kubectl version")
    return Check("Kubernetes", "good", finding)


def check_parts(found: Inventory, components: Collection[str]) -> Iterator[Check]:
    """Yields which parts are there; a missing one is bad only if the pipeline cannot do without it.

    Args:
        found: The cluster.
        components: The names of the pipeline's components; empty: whatever may come.
    """
    serves = not components or bool(ROLLOUTS & set(components))
    yield _part(found, "kfp", "KFP", "packages cannot be submitted here")
    yield _part(found, "kserve", "KServe", "models cannot be served here", needed=serves)
    if found.has("kserve"):
        yield from _serving(found, needed=serves)
    if not components or "tune_model" in components:
        yield _part(found, "katib", "Katib", "tune_model runs its trials in its own pod, one after another")
    if not components or "train_model" in components:
        yield _part(found, "trainer", "Trainer", "train_model trains in its own pod, on one node")
        if found.has("trainer"):
            yield _training_runtime(found)
    yield _part(found, "prometheus", "Prometheus", "alerts and scraping are yours to set up")


def _part(found: Inventory, name: str, title: str, without: str, *, needed: bool = False) -> Check:
    part = found.parts[name]
    if part.present:
        return Check(title, "good", part.version or "installed, of a version that nothing here tells")
    if part.present is None:
        return Check(title, "warn", "this user may not look whether it is installed", "")
    return Check(title, "bad" if needed else "warn", f"not installed: {without}", INSTALL[name])


def _serving(found: Inventory, *, needed: bool) -> Iterator[Check]:
    """Yields KServe's mode and whether the runtime of fairlead is there."""
    modes = [*(["knative"] if found.has("knative") else []), *(["standard"] if found.has("gateway") else [])]
    default = f"; KServe's default is {found.serving_mode}" if found.serving_mode else ""
    yield Check("serving mode", "good" if modes else "warn", f"{' and '.join(modes) or 'neither can split'}{default}")
    if found.runtimes:
        yield Check("runtime", "good", " and ".join(found.runtimes))
    else:
        mend = "kubectl apply --server-side -f kserve/clusterservingruntime.yaml"
        yield Check("runtime", "bad" if needed else "warn", "KServe does not know fairlead-serving here", mend)
    if not found.storage_container:
        mend = "kubectl apply --server-side -k manifests/cluster"
        finding = "there is no ClusterStorageContainer fairlead: packages come into no pod of a restricted namespace"
        yield Check("packages in", "bad" if needed else "warn", finding, mend)


def _training_runtime(found: Inventory) -> Check:
    if "fairlead-training" in found.training_runtimes:
        return Check("training", "good", "the runtime fairlead-training")
    others = ", ".join(found.training_runtimes) or "none at all"
    mend = "kubectl apply --server-side -k manifests/overlays/staging"
    return Check("training", "warn", f"there is no runtime fairlead-training here ({others})", mend)


def check_split(place: Settings, found: Inventory, components: Collection[str]) -> Iterator[Check]:
    """Yields whether traffic can be split between two versions, and who would do it.

    Args:
        place: The settings: the mode and the Gateway that are wanted.
        found: The cluster.
        components: The names of the pipeline's components; empty: whatever may come.
    """
    if not found.has("kserve") or (components and not ROLLOUTS & set(components)):
        return
    wanted = place.serving_mode
    if wanted in {"auto", "knative"} and found.has("knative"):
        yield Check("traffic split", "good", "Knative (canaryTrafficPercent)")
        return
    if wanted == "knative":
        mend = "export FAIRLEAD_SERVING_MODE=auto"
        yield Check("traffic split", "bad", "the settings want Knative, which is not installed", mend)
        return
    yield _gateway(place, found)


def _gateway(place: Settings, found: Inventory) -> Check:
    """Says whether HTTPRoutes of ours would have a Gateway that takes them up."""
    title = "traffic split"
    if not found.has("gateway"):
        return Check(title, "bad", "neither Knative nor the Gateway API is installed", INSTALL["gateway"])
    name = place.gateway or found.gateway
    if found.gateways is None:
        return Check(title, "good" if name else "warn", f"HTTPRoutes at {name or 'a Gateway that nothing here names'}")
    programmed = [gateway.name for gateway in found.gateways if gateway.programmed]
    if not name and len(programmed) == 1:
        name = programmed[0]
    if name in programmed:
        return Check(title, "good", f"HTTPRoutes at the Gateway {name}")
    known = ", ".join(gateway.name for gateway in found.gateways) or "none"
    use = f"export FAIRLEAD_GATEWAY={programmed[0]}" if programmed else "kubectl describe gateways --all-namespaces"
    if not name:
        return Check(title, "bad", f"nothing names the Gateway to use (there are: {known})", use)
    state = "no controller has taken it up" if name in known.split(", ") else "it is not there"
    return Check(title, "bad", f"the Gateway {name}: {state} (there are: {known})", use)

"""Whether the images that a pipeline needs are on the nodes, in the registry, or, asked for, can really be pulled."""

import re
from collections.abc import Collection, Iterator

from fairlead import image
from fairlead.errors import PlatformError
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster
from fairlead.settings import Settings
from fairlead_pipelines.command import cluster_pod
from fairlead_pipelines.command.checks import Check

_KUBELET_TELLS = 50  # images of a node's status, unless nodeStatusMaxImages says otherwise
_PULL_SECONDS = 240.0
_REGISTRY_SECONDS = 10.0
_MANIFESTS = ", ".join(
    f"application/vnd.{name}+json"
    for name in ("oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.v2")
)
_FOUND, _UNAUTHORIZED, _ABSENT = 200, 401, 404
_TITLES = {image.BASE: "image base", image.TRAINING: "image training", image.SERVING: "image serving"}


def images_of(components: Collection[str]) -> tuple[str, ...]:
    """The images of a pipeline's steps and of what they create; all of fairlead's where no pipeline is named.

    Args:
        components: The names of the pipeline's components.
    """
    trains = not components or bool({"tune_model", "train_model", "export_model"} & set(components))
    serves = not components or bool({"deploy_model", "load_test_model", "validate_server"} & set(components))
    return (image.BASE, *([image.TRAINING] if trains else []), *([image.SERVING] if serves else []))


def check_images(cluster: Cluster, place: Settings, components: Collection[str]) -> Iterator[Check]:
    """Yields where each image is, as far as can be seen without making a pod.

    Args:
        cluster: The cluster.
        place: The settings: `image_registry`.
        components: The names of the pipeline's components; empty: whatever may come.
    """
    nodes = cluster.list(kinds.NODE) if cluster.may("list", kinds.NODE) else None
    for name in images_of(components):
        reference = image.place(name, place.image_registry)
        on = None if nodes is None else sum(_on_node(node, reference) for node in nodes)
        if nodes and on == len(nodes):
            yield Check(_TITLES[name], "good", f"{reference} is on {_nodes(len(nodes))}")
        elif place.image_registry:
            yield in_registry(_TITLES[name], reference)
        else:
            yield _on_some(_TITLES[name], reference, on, nodes or [])


def _nodes(number: int) -> str:
    return "the node" if number == 1 else f"all {number} nodes"


def _on_node(node: object, reference: str) -> bool:
    """Whether a node says that it has an image; runtimes put their own defaults before short names."""
    wanted = {reference, f"docker.io/library/{reference}", f"docker.io/{reference}", f"localhost/{reference}"}
    images = node.get("status", {}).get("images", []) if isinstance(node, dict) else []
    return any(wanted & set(found.get("names") or []) for found in images)


def _on_some(title: str, reference: str, on: int | None, nodes: list[dict[str, object]]) -> Check:
    """Says what is known of an image that no registry is named for."""
    mend = "make images REGISTRY=ghcr.io/YOU && export FAIRLEAD_IMAGE_REGISTRY=ghcr.io/YOU"
    if on is None:
        return Check(title, "warn", f"{reference}: this user may not look at the nodes, and no registry is set", mend)
    where = f"{reference} is on {on} of {len(nodes)} nodes, and no registry is set"
    most = max((len(_images(node)) for node in nodes), default=0)
    if on == 0 and most >= _KUBELET_TELLS:
        return Check(title, "warn", f"{where}; nodes tell of {_KUBELET_TELLS} images only: --deep makes sure", mend)
    return Check(title, "warn" if on else "bad", where, mend)


def _images(node: dict[str, object]) -> list[object]:
    status = node.get("status")
    found = status.get("images", []) if isinstance(status, dict) else []
    return found if isinstance(found, list) else []


def in_registry(title: str, reference: str) -> Check:
    """Asks a registry, without credentials, whether it has an image. Nodes may reach another, or be refused.

    Args:
        title: What the finding is called.
        reference: HOST[:PORT]/NAME:TAG.
    """
    import urllib3

    host, _, rest = reference.partition("/")
    name, _, tag = rest.partition(":")
    scheme = "http" if re.match(r"(localhost|127\.)", host) else "https"
    uri = f"{scheme}://{host}/v2/{name}/manifests/{tag}"
    try:
        answer = urllib3.PoolManager().request(
            "HEAD", uri, headers={"Accept": _MANIFESTS}, timeout=_REGISTRY_SECONDS, retries=False
        )
    except urllib3.exceptions.HTTPError as error:
        finding = f"{reference}: the registry does not answer this machine ({error}); --deep asks from a node"
        return Check(title, "warn", finding, f"curl -sv {uri}")
    if answer.status == _FOUND:
        return Check(title, "good", f"{reference} is in the registry, for everybody")
    if answer.status == _UNAUTHORIZED:
        finding = f"{reference}: the registry wants credentials; --deep pulls with the Secret {cluster_pod.PULL_SECRET}"
        return Check(title, "warn", finding, f"docker pull {reference}")
    if answer.status == _ABSENT:
        return Check(
            title, "bad", f"{reference} is not in the registry", f"make images REGISTRY={host}/{_prefix(name)}"
        )
    return Check(title, "warn", f"{reference}: the registry answers {answer.status}", f"curl -sv {uri}")


def _prefix(name: str) -> str:
    return name.rpartition("/")[0]


def pull_images(cluster: Cluster, place: Settings, components: Collection[str]) -> Iterator[Check]:
    """Yields whether a node can pull and start each image: a pod with a container of each is made and removed.

    Args:
        cluster: The cluster and namespace.
        place: The settings: `image_registry`.
        components: The names of the pipeline's components; empty: whatever may come.
    """
    references = {name.partition(":")[0]: image.place(name, place.image_registry) for name in images_of(components)}
    containers = [
        {"name": name, "image": reference, "command": ["python", "-c", "import fairlead"]}
        for name, reference in references.items()
    ]
    try:
        with cluster_pod.pod(cluster, containers) as pod:
            states = cluster_pod.wait(cluster, pod, _PULL_SECONDS)
            events = cluster.events("Pod", pod)
    except PlatformError as error:
        yield Check(
            "pull", "bad", f"no pod can be made: {error}", f"kubectl -n {cluster.namespace} auth can-i create pods"
        )
        return
    for name, reference in references.items():
        yield _pulled(cluster, name, reference, states.get(name, {}), events[-1] if events else "")


def _pulled(cluster: Cluster, name: str, reference: str, state: dict[str, object], event: str) -> Check:
    """Says what became of one image's container."""
    title = f"pull {name.removeprefix('fairlead-')}"
    ended, waits = state.get("terminated"), state.get("waiting")
    if isinstance(ended, dict):
        if ended.get("exitCode") == 0:
            return Check(title, "good", f"a node pulled and started {reference}")
        finding = f"{reference} starts and ends with status {ended.get('exitCode')} ({ended.get('reason')})"
        return Check(title, "bad", finding, f"docker run --rm --read-only {reference} python -c 'import fairlead'")
    why = (
        f"{waits.get('reason')}: {waits.get('message', '')}" if isinstance(waits, dict) else event or "no node took it"
    )
    mend = (
        f"kubectl -n {cluster.namespace} create secret docker-registry {cluster_pod.PULL_SECRET} "
        f'--docker-server={reference.partition("/")[0]} --docker-username="$USER" --docker-password="$TOKEN"'
    )
    return Check(title, "bad", f"{reference} does not start: {why}", mend)

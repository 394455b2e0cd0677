"""What the namespace has: labels, Secrets and ConfigMaps with the keys that tasks expect, quotas, volumes."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster, Manifest
from fairlead.platform.kubeflow.inventory import Inventory
from fairlead.platform.kubeflow.kinds import Kind
from fairlead_pipelines.command.checks import Check, State

NEARLY_FULL = 0.9
_INJECTION = "katib.kubeflow.org/metrics-collector-injection"
_S3_ENDPOINT, _S3_HTTPS = "serving.kserve.io/s3-endpoint", "serving.kserve.io/s3-usehttps"
_ENFORCE = "pod-security.kubernetes.io/enforce"
_UNITS = {
    "m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30,
    "Ti": 1 << 40,
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """A Secret or ConfigMap that tasks read.

    Attributes:
        kind: Which of the two.
        name: Its name.
        keys: The keys without which pods do not start.
        mend: The command that makes it, with `{namespace}` in it.
        state: How bad it is if it is missing.
        purpose: What needs it.
    """

    kind: Kind
    name: str
    keys: tuple[str, ...]
    mend: str
    state: State
    purpose: str


WANTED = (
    Wanted(
        kinds.CONFIG_MAP, "fairlead-settings",
        (
            "FAIRLEAD_OBJECT_STORE", "FAIRLEAD_S3_ENDPOINT", "FAIRLEAD_REGISTRY_URI", "FAIRLEAD_FEATURE_REGISTRY",
            "FAIRLEAD_PROMETHEUS_URI",
        ),
        "kubectl apply --server-side -k manifests/overlays/staging", "bad", "every task takes its settings from it",
    ),
    Wanted(
        kinds.SECRET, "fairlead-s3", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        'kubectl -n {namespace} create secret generic fairlead-s3 '
        '--from-literal=AWS_ACCESS_KEY_ID="$AWS_ACCESS_KEY_ID" '
        '--from-literal=AWS_SECRET_ACCESS_KEY="$AWS_SECRET_ACCESS_KEY"',
        "bad", "tasks, trials and servers read the object store by it",
    ),
    Wanted(
        kinds.SECRET, "fairlead-redis", ("FAIRLEAD_REDIS",),
        'kubectl -n {namespace} create secret generic fairlead-redis '
        '--from-literal=FAIRLEAD_REDIS="fairlead-redis.{namespace}-stores:6379,password=$REDIS_PASSWORD"',
        "warn", "without it features are looked up nowhere",
    ),
    Wanted(
        kinds.SECRET, "fairlead-signing", ("key.pem",),
        "fairlead keys new {namespace} --folder . && "
        "kubectl -n {namespace} create secret generic fairlead-signing --from-file=key.pem={namespace}.pem",
        "warn", "packages of the overlays canary and production sign their verdicts",
    ),
)  # fmt: skip


def apply_overlay(namespace: str) -> str:
    """The command that applies the overlay to which a namespace belongs."""
    environment = namespace.removeprefix("fairlead-")
    known = environment if environment in {"staging", "canary", "production"} else "staging"
    return f"kubectl apply --server-side -k manifests/overlays/{known}"


def check_namespace(cluster: Cluster, found: Inventory, needed: Iterable[str]) -> Iterator[Check]:
    """Yields what is found of the namespace.

    Args:
        cluster: The cluster and namespace.
        found: What the cluster has.
        needed: The families of components that are to run.
    """
    if cluster.may("get", kinds.NAMESPACE, cluster.namespace):
        namespace = cluster.get(kinds.NAMESPACE, cluster.namespace) or {"metadata": {}}
        yield from _labels(namespace, found, set(needed))
    for wanted in WANTED:
        yield _present(cluster, wanted)
    if found.has("kserve"):
        yield from _packages_address(cluster, found)
    yield from _quotas(cluster)
    yield _volumes(found)


def _labels(namespace: Manifest, found: Inventory, needed: set[str]) -> Iterator[Check]:
    """Yields whether Katib may work here, and which level of Pod Security is enforced."""
    metadata = namespace["metadata"]
    labels, name = metadata.get("labels", {}), metadata.get("name", "")
    level = labels.get(_ENFORCE, "privileged")
    tunes = "tuning" in needed and found.has("katib")
    if tunes and labels.get(_INJECTION) != "enabled":
        mend = f"kubectl label namespace {name} {_INJECTION}=enabled"
        yield Check("Katib here", "bad", "the namespace lacks the label by which Katib collects metrics", mend)
    if tunes and level == "restricted":
        yield Check(
            "pod security", "warn",
            "restricted is enforced, and Katib's stock configuration gives its own containers no security context",
            f"kubectl label --overwrite namespace {name} {_ENFORCE}=baseline",
        )  # fmt: skip
    elif level == "privileged":
        mend = f"kubectl label --overwrite namespace {name} {_ENFORCE}=restricted"
        yield Check("pod security", "warn", "nothing is enforced: a pod here may take the node over", mend)
    else:
        yield Check("pod security", "good", f"{level} is enforced")


def _present(cluster: Cluster, wanted: Wanted) -> Check:
    """Says whether a Secret or ConfigMap has its keys; values are looked at only for being empty, and never shown."""
    title = wanted.name.removeprefix("fairlead-")
    what = f"the {wanted.kind.kind} {wanted.name}"
    if not cluster.may("get", wanted.kind, wanted.name):
        return Check(title, "warn", f"this user may not look at {what}")
    mend = wanted.mend.format(namespace=cluster.namespace).replace("manifests/overlays/staging", _overlay(cluster))
    found = cluster.get(wanted.kind, wanted.name)
    if found is None:
        return Check(title, wanted.state, f"there is no {what.removeprefix('the ')}: {wanted.purpose}", mend)
    data: Mapping[str, str] = found.get("data") or {}
    lacking = [key for key in wanted.keys if not data.get(key)]
    if lacking:
        again = f"kubectl -n {cluster.namespace} edit {wanted.kind.kind.lower()} {wanted.name}"
        return Check(title, "bad", f"{what} lacks {', '.join(lacking)}", again)
    if wanted.kind == kinds.SECRET and (spoilt := [key for key in wanted.keys if _spoilt(data[key])]):
        again = f"kubectl -n {cluster.namespace} delete secret {wanted.name} && {mend}"
        return Check(title, "bad", f"{what}: {', '.join(spoilt)} begins or ends with a space or a newline", again)
    return Check(title, "good", f"{what} has {', '.join(wanted.keys)}")


def _packages_address(cluster: Cluster, found: Inventory) -> Iterator[Check]:
    """Yields whether KServe fetches packages from where tasks put them; nothing where settings or Secret are missing.

    KServe's storage initializer takes no address from the settings, only from annotations of the Secret.
    """
    wanted = ((kinds.CONFIG_MAP, "fairlead-settings"), (kinds.SECRET, "fairlead-s3"))
    places, secret = (cluster.get(kind, name) if cluster.may("get", kind, name) else None for kind, name in wanted)
    endpoint = ((places or {}).get("data") or {}).get("FAIRLEAD_S3_ENDPOINT", "")
    if secret is not None and endpoint:
        annotations = secret["metadata"].get("annotations") or {}
        mend = f"kubectl -n {cluster.namespace} annotate --overwrite secret fairlead-s3 "
        yield packages_address(endpoint, annotations, found.s3_endpoint, mend)


def packages_address(endpoint: str, annotations: Mapping[str, str], default: str, mend: str) -> Check:
    """Says whether KServe and the tasks mean the same object store.

    Args:
        endpoint: What tasks use: http(s)://HOST:PORT.
        annotations: Those of the Secret that holds the keys.
        default: HOST:PORT that KServe uses where the annotations name none; empty for Amazon's.
        mend: The command that annotates the Secret, but for the annotations.
    """
    parts = urlsplit(endpoint)
    named = annotations.get(_S3_ENDPOINT, default)
    encrypted = annotations.get(_S3_HTTPS, "1") != "0"
    amazon = (parts.hostname or "").endswith("amazonaws.com")
    if (amazon and not named) or named == parts.netloc:
        if encrypted == (parts.scheme == "https"):
            return Check("packages from", "good", f"KServe fetches them from {named or 'Amazon S3'}")
        finding = f"KServe speaks {'https' if encrypted else 'http'} to {named}, tasks speak {parts.scheme}"
    else:
        finding = f"KServe fetches them from {named or 'Amazon S3'}, and tasks put them at {parts.netloc}"
    mend += f"{_S3_ENDPOINT}={parts.netloc} {_S3_HTTPS}={int(parts.scheme == 'https')}"
    return Check("packages from", "bad", finding, mend)


def _overlay(cluster: Cluster) -> str:
    return apply_overlay(cluster.namespace).rpartition(" ")[2]


def _spoilt(encoded: str) -> bool:
    """Whether a value has spaces around it, as `echo` and editors leave them; a file may end with a newline."""
    value = base64.b64decode(encoded)
    return value != value.strip() and b"\n" not in value.strip()


def _quotas(cluster: Cluster) -> Iterator[Check]:
    """Yields which quotas are nearly used up, or that none is."""
    if not cluster.may("list", kinds.RESOURCE_QUOTA):
        yield Check("quota", "warn", "this user may not look at the quotas")
        return
    quotas = cluster.list(kinds.RESOURCE_QUOTA)
    for quota in quotas:
        status = quota.get("status", {})
        hard, used = status.get("hard", {}), status.get("used", {})
        for resource, most in hard.items():
            share = amount(used.get(resource, "0")) / amount(most) if amount(most) else 0.0
            if share >= NEARLY_FULL:
                name = quota["metadata"]["name"]
                yield Check(
                    "quota", "bad" if share >= 1 else "warn",
                    f"{resource}: {used[resource]} of {most} are used (quota {name})",
                    f"kubectl -n {cluster.namespace} edit resourcequota {name}",
                )  # fmt: skip
                break
        else:
            yield Check("quota", "good", f"{quota['metadata']['name']}: nothing is nearly used up")
    if not quotas:
        yield Check("quota", "good", "none is set")


def amount(quantity: str) -> float:
    """A Kubernetes quantity as a number.

    Args:
        quantity: Such as `500m`, `2`, `64Gi`.
    """
    digits = quantity.rstrip("mkMGTKi")
    return float(digits) * _UNITS[quantity[len(digits) :]]


def _volumes(found: Inventory) -> Check:
    """Says whether a claim for a volume would be answered."""
    classes = found.storage_classes
    if classes is None:
        return Check("volumes", "warn", "this user may not list storage classes")
    if not classes:
        finding = "there is no storage class: Redis and MLflow would wait for their volumes"
        return Check("volumes", "warn", finding, "kubectl get storageclass")
    if "(default)" not in classes[0]:
        mend = f"kubectl annotate storageclass {classes[0]} storageclass.kubernetes.io/is-default-class=true"
        return Check("volumes", "warn", f"no storage class is the default one (there are: {', '.join(classes)})", mend)
    return Check("volumes", "good", ", ".join(classes))

"""A Kubeflow home for flights on a real cluster: the staging overlay as a platform team would fill it in.

home = stack.enter_context(flights_home(cluster, s3, folder, "standard"))
made = home.run("first", "flights", ["tuning.maxTrialCount=2"])
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from cluster_stores import redis_image, wait_ready
from kfp_pods import OverlaidPods, Steps
from overlay_copies import Applied, applied, apply_storage_initializer
from pods import Document, Ended, Pods
from walker import Walk

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster
from fairlead_pipelines import catalog
from fairlead_pipelines.packages.compilation import compile_for

GATEWAYS = {"standard": "http://envoy.projectcontour", "knative": "http://kourier.kourier-system"}
ENVIRONMENT = "staging"


@dataclass
class FlightsHome:
    """One environment: a namespace for work and one for stores, a bucket, and the runs that were made there.

    Attributes:
        cluster: The cluster, seen from the work namespace.
        overlay: What was applied.
        pods: Where steps run; its bucket is the environment's.
        cache: KFP's cache; shared between environments.
        runs: The steps of each run.
    """

    cluster: Cluster
    overlay: Applied
    pods: Pods
    cache: dict[str, Ended]
    runs: dict[str, Steps] = field(default_factory=dict)

    def run(
        self, run: str, name: str, overrides: Sequence[str], before: Mapping[str, Callable[[], None]] | None = None
    ) -> dict[str, Ended]:
        """Runs a pipeline, as `fairlead submit NAME key=value … --overlay staging` would.

        Args:
            run: The run's name.
            name: The pipeline's.
            overrides: What differs from its problem.
            before: What happens before a step, by its name.

        Returns:
            What came of each step.
        """
        compiled = compile_for(name, overlay=ENVIRONMENT)
        documents = compiled.package.documents()
        arguments = catalog.arguments(compiled.source, catalog.load(compiled.source), tuple(overrides))
        self.pods.service_account = compiled.service_account
        steps = self.runs[run] = Steps(self.pods, documents, run, self.cache, before or {})
        root = f"s3://{self.pods.bucket}/runs/{self.overlay.namespace}/{run}"
        return dict(Walk(documents[0], arguments, steps, root).steps())

    def restarts(self) -> dict[str, int]:
        """How often each pod of the stores, and the warden, was started again."""
        found = [*self.cluster.list(kinds.POD, namespace=self.overlay.stores)]
        found += self.cluster.list(kinds.POD, {"app.kubernetes.io/component": "warden"})
        return {one["metadata"]["name"]: one["status"]["containerStatuses"][0]["restartCount"] for one in found}


@contextmanager
def flights_home(
    cluster: Cluster, s3: Any, bucket: str, folder: Path, mode: str, cache: dict[str, Ended]
) -> Iterator[FlightsHome]:
    """Applies the overlay under names of its own, gives it its Secrets, and waits for its stores.

    Args:
        cluster: The cluster.
        s3: Its object store.
        bucket: The bucket of artifacts of runs, as KFP's own pipeline root is one.
        folder: Where the overlay's copy goes.
        mode: KServe's mode.
        cache: KFP's cache.
    """
    apply_storage_initializer(cluster)
    redis = redis_image(folder / "redis")

    def fill_in(copy: Applied) -> None:
        _fill_in(copy, s3.inside, mode, redis)

    with applied(cluster, ENVIRONMENT, folder / "overlay", fill_in) as overlay:
        here = Cluster(cluster._client, overlay.namespace, cluster.where)
        pods = OverlaidPods(here, overlay.namespace, s3, bucket, timeout_seconds=1200.0)
        pods.prepare()
        client = pods.client()
        client.make_bucket(overlay.namespace)  # the overlay's settings name it
        _give_secrets(here, overlay, s3)
        for store in ("fairlead-redis-0", "fairlead-mlflow-0"):
            wait_ready(overlay.stores, store)
        try:
            yield FlightsHome(here, overlay, pods, cache)
        finally:
            Pods(here, overlay.namespace, s3, overlay.namespace).clear()


def _fill_in(overlay: Applied, s3_inside: str, mode: str, redis: str) -> None:
    """What a platform team puts into its overlay, and leaves out where its cluster has no volumes."""
    work, stores = overlay.folder / "work", overlay.folder / "stores"
    settings = yaml.safe_load((work / "settings.yaml").read_text())
    settings["data"] |= {
        "FAIRLEAD_S3_ENDPOINT": s3_inside, "FAIRLEAD_PROMETHEUS_URI": "", "FAIRLEAD_SERVING_MODE": mode,
        "FAIRLEAD_GATEWAY_URL": GATEWAYS[mode],
    }  # fmt: skip
    (work / "settings.yaml").write_text(yaml.safe_dump(settings))
    _change(work / "kustomization.yaml", lambda one: one["components"].remove("../../../components/katib"))
    _change(stores / "kustomization.yaml", lambda one: one.pop("components"))
    name, _, tag = redis.partition(":")
    own = {"name": "docker.io/library/redis", "newName": f"docker.io/library/{name}", "newTag": tag}

    def take_ours(one: Document) -> None:
        one["images"] = [own if image["name"] == own["name"] else image for image in one["images"]]

    _change(overlay.folder / "versions" / "kustomization.yaml", take_ours)


def _change(file: Path, change: Callable[[Document], object]) -> None:
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content))


def _give_secrets(cluster: Cluster, overlay: Applied, s3: Any) -> None:
    """The Secrets of docs/platform.md, with values that nobody else knows."""
    password = secrets.token_hex(16)
    work, stores = overlay.namespace, overlay.stores
    values = {
        (work, "fairlead-s3"): {"AWS_ACCESS_KEY_ID": s3.user, "AWS_SECRET_ACCESS_KEY": s3.password},
        (work, "fairlead-redis"): {"FAIRLEAD_REDIS": f"fairlead-redis.{stores}:6379,password={password}"},
        (stores, "fairlead-redis"): {"users.acl": f"user default on >{password} ~* &* +@all -@admin -@dangerous +info"},
        (stores, "fairlead-mlflow"): {"MLFLOW_BACKEND_STORE_URI": "sqlite:////var/lib/mlflow/mlflow.db"},
    }
    address = urlsplit(s3.inside)
    where = {
        "serving.kserve.io/s3-endpoint": address.netloc,
        "serving.kserve.io/s3-usehttps": str(int(address.scheme == "https")),
    }
    for (namespace, name), content in values.items():
        metadata = {"name": name, "namespace": namespace, "annotations": where if name == "fairlead-s3" else {}}
        cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content})

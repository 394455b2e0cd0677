"""KServe as a home of deployment, for tests on a real cluster: real packages on a real object store, and clients.

home = KServeHome(cluster, namespace, mode, gateway_url, s3, tmp_path)
digest = home.deploy("m", bias=-0.7, version="1")
with home.clients("m") as traffic: …
assert traffic.failures == []
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from gateway_clients import Clients
from models import tiny_package

from fairlead.deployment.engine import Rollout
from fairlead.deployment.records import Records, RolloutState
from fairlead.deployment.spec import RolloutSpec
from fairlead.errors import PlatformError
from fairlead.objects import Objects
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.order import ClusterOptions, Order
from fairlead.platform.serving import home
from fairlead.settings import settings
from fairlead_serving.package import ModelPackage

REPOSITORY = Path(__file__).resolve().parents[1]
RUNTIME = REPOSITORY / "kserve" / "clusterservingruntime.yaml"
SMALL = ClusterOptions(minimum_replicas=1, maximum_replicas=1, cpu="50m", cpu_limit="1", memory="384Mi")


def small_rollout(**spec: Any) -> dict[str, Any]:
    """A rollout's section that a test's traffic settles quickly."""
    return {
        "steps": [20, 50], "minimum_requests": 60, "look_seconds": 0.5, "step_timeout_seconds": 60,
        "checks": [{"metric": "success_rate"}, {"metric": "latency", "floor_seconds": 0.25}], **spec,
    }  # fmt: skip


class KServeHome:
    """One namespace to serve in."""

    def __init__(
        self, cluster: Cluster, namespace: str, gateway_url: str, s3: Any, folder: Path, image: str = ""
    ) -> None:
        self.cluster, self.namespace, self.gateway_url, self._s3 = cluster, namespace, gateway_url, s3
        self.folder, self._image = folder, image
        self.orders: dict[str, Order] = {}
        self._prepare()

    def _prepare(self) -> None:
        """The runtime, the servers' account and the keys of the object store, as manifests make them."""
        runtime = yaml.safe_load(RUNTIME.read_text())
        runtime["kind"], runtime["metadata"]["namespace"] = "ServingRuntime", self.namespace
        storage = yaml.safe_load((RUNTIME.parent / "clusterstoragecontainer.yaml").read_text())
        own = self.cluster.get(kinds.CLUSTER_STORAGE_CONTAINER, "default")  # the image that this cluster has
        if own is not None:
            storage["spec"]["container"]["image"] = own["spec"]["container"]["image"]
        self.cluster.apply(storage)
        container = runtime["spec"]["containers"][0]
        if self._image:  # a stand-in: same arguments, same probes, ready at once
            container |= {"image": self._image, "command": ["python3", "/server.py"]}
        self.cluster.apply(runtime)
        keys = {"AWS_ACCESS_KEY_ID": self._s3.user, "AWS_SECRET_ACCESS_KEY": self._s3.password}
        address = urlsplit(self._s3.inside)
        notes = {
            "serving.kserve.io/s3-endpoint": address.netloc,
            "serving.kserve.io/s3-usehttps": str(int(address.scheme == "https")),
            "serving.kserve.io/s3-region": "us-east-1", "serving.kserve.io/s3-useanoncredential": "false",
        }  # fmt: skip
        where = {"namespace": self.namespace}
        secret = {"name": "fairlead-s3", **where, "annotations": notes}
        self.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": keys})
        self.cluster.apply({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "fairlead-serving", **where},
            "secrets": [{"name": "fairlead-s3"}],
        })  # fmt: skip

    def package(
        self, bias: float, behaviour: Mapping[str, Any] | None = None, tiny: Mapping[str, Any] | None = None
    ) -> tuple[ModelPackage, str]:
        """Makes a package and puts it into the object store; gives it and its address."""
        told = json.dumps([bias, behaviour, tiny], default=dict, sort_keys=True)
        folder = self.folder / f"package-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
        if not folder.exists():
            tiny_package(folder, bias=bias, **(tiny or {}))
            if behaviour:
                (folder / "behaviour.json").write_text(json.dumps(behaviour))
        package = ModelPackage.open(folder)
        uri = f"{settings().object_store}/packages/tiny/{package.digest[7:]}"
        Objects.connect().upload_folder(folder, uri)
        return package, uri

    def order(
        self, name: str, bias: float, version: str, behaviour: Mapping[str, Any] | None = None,
        tiny: Mapping[str, Any] | None = None, **changes: Any,
    ) -> Order:  # fmt: skip
        """What is ordered of `deploy_model`; a stand-in's server behaves as told, a real one's package is as told."""
        package, uri = self.package(bias, behaviour, tiny)
        options: Mapping[str, Any] = {"ready_timeout_seconds": 120.0, "cluster": SMALL, **changes}
        made = Order(
            service=name, model="tiny", version=version, digest=package.digest, uri=uri, package=package,
            judges=("evaluation",), policy_digest="sha256:" + "0" * 64, **options,
        )  # fmt: skip
        self.orders[package.digest] = made
        return made

    def deploy(self, name: str, bias: float, version: str = "1", **changes: Any) -> str:
        """Deploys a version at weight 0; gives its digest."""
        order = self.order(name, bias, version, **changes)
        with self.as_pods_see_it(), home().connect() as place:
            place.deploy(order)
        return order.digest

    @contextlib.contextmanager
    def as_pods_see_it(self) -> Iterator[None]:
        """Names the object store as pods reach it, which may be otherwise than this machine does."""
        outside = os.environ["FAIRLEAD_S3_ENDPOINT"]
        os.environ["FAIRLEAD_S3_ENDPOINT"] = self._s3.inside
        try:
            yield
        finally:
            os.environ["FAIRLEAD_S3_ENDPOINT"] = outside

    def serve(self, name: str, bias: float, version: str = "1", **changes: Any) -> str:
        """Deploys a version and gives it all traffic."""
        digest = self.deploy(name, bias, version, **changes)
        with Records(home().records(name)).charge(), home().connect() as place:
            target = place.target(name, digest)
            target.promote()
            target.close()
        return digest

    def host(self, name: str) -> str:
        """The host name of a service."""
        with home().connect() as place:
            return urlsplit(place.service(name).endpoint).netloc

    @contextlib.contextmanager
    def clients(self, name: str, threads: int = 3, per_second: float = 60) -> Iterator[Clients]:
        """Clients that send until the block ends."""
        clients = Clients(self.gateway_url, self.host(name), name, threads, per_second)
        clients.start()
        try:
            yield clients
        finally:
            clients.stop()

    def quiet_client(self, name: str) -> Clients:
        """A client that sends when it is told to."""
        return Clients(self.gateway_url, self.host(name), name, 1, 1)

    def roll_out(self, name: str, digest: str, **spec: Any) -> RolloutState:
        """Rolls a deployed version out by the engine, in this process."""
        return roll_out(name, digest, **spec)

    def resume(self, name: str, digest: str, **spec: Any) -> RolloutState:
        """Goes on with a rollout whose engine died, with other numbers."""
        records = Records(home().records(name))
        with records.charge():
            state = records.load()
            assert state is not None
            state.spec |= spec
            records.save(state)
        return roll_out(name, digest, **spec)

    def split(self, name: str, digest: str, percent: float, shadow_percent: float = 0.0) -> None:
        """Gives a canary a share, or copies, by the target, as an engine in charge does."""
        with Records(home().records(name)).charge(), home().connect() as serving:
            target = serving.target(name, digest)
            target.apply_split(percent, shadow_percent)
            target.close()

    @contextlib.contextmanager
    def engine(self, name: str, digest: str, **spec: Any) -> Iterator["subprocess.Popen[bytes]"]:
        """An engine in a process of its own."""
        code = (
            f"import sys, json; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "from kserve_home import roll_out\nroll_out(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))"
        )
        with subprocess.Popen([sys.executable, "-c", code, name, digest, json.dumps(spec)]) as process:
            try:
                yield process
            finally:
                process.kill()

    def kill(self, pod: str) -> None:
        """Ends a pod at once (no time to drain), as the end of its node would."""
        self.cluster.delete(kinds.POD, pod, grace_seconds=0)

    def wait_for_share(self, name: str, digest: str, seconds: float = 60) -> None:
        """Waits until a canary answers clients."""
        client, deadline = self.quiet_client(name), time.monotonic() + seconds
        while not client.count(20)[digest]:
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def deploy_or_withdraw(
        self, name: str, bias: float, version: str, behaviour: Mapping[str, Any] | None = None,
        image_registry: str = "", lost_package: bool = False, **changes: Any,
    ) -> None:  # fmt: skip
        """Deploys as deploy_model does: a version that does not come up is removed again."""
        order = self.order(name, bias, version, behaviour, **changes)
        if lost_package:
            order = replace(order, uri=order.uri + "-lost")
        os.environ["FAIRLEAD_IMAGE_REGISTRY"] = image_registry
        try:
            with self.as_pods_see_it(), home().connect() as place:
                try:
                    place.deploy(order)
                except PlatformError:
                    place.withdraw(name, order.digest)
                    raise
        finally:
            del os.environ["FAIRLEAD_IMAGE_REGISTRY"]

    def another_process(self, name: str) -> str:
        """What another process is told that wants to take charge."""
        code = (
            "import sys\nfrom fairlead.platform.serving import home, InChargeError\n"
            "try:\n    with home().records(sys.argv[1]).charge(): print('taken')\n"
            "except InChargeError as error: print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, name], capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout.strip()


def roll_out(name: str, digest: str, version: str = "2", die_in: str = "", **spec: Any) -> RolloutState:
    """Rolls a deployed version out by the engine, or goes on with it.

    Args:
        name: The service.
        digest: The version.
        version: Its number.
        die_in: The process is killed when it has written that the rollout is in this phase; or, `promoted`, when all
            traffic was given and nothing was removed yet.
        spec: The rollout's section.
    """
    parsed = RolloutSpec.parse(small_rollout(**spec), where="rollout")
    records = Records(home().records(name))
    with records.charge(), home().connect() as place:
        target = place.target(name, digest)
        state = records.load()
        if state is None or state.phase == "done" or state.digest != digest:
            state = RolloutState(
                name=name, digest=digest, version=version, stable=target.stable, spec=parsed.model_dump(mode="json")
            )
        going_on = RolloutSpec.parse(state.spec, where="rollout")

        def save(state: RolloutState) -> None:
            records.save(state)
            die(state.phase)

        def die(where: str) -> None:
            if where == die_in:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            return Rollout(target, going_on, state, save, lambda: die("promoted"), records.commanded).run()
        finally:
            target.close()

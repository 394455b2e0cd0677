"""The pods that fairlead has others make for it: a trial of Katib's, a node of a TrainJob. Plain users, no rights."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from fairlead.errors import ConfigurationError
from fairlead.sections import Section
from fairlead.settings import Settings

S3_SECRET = "fairlead-s3"  # noqa: S105 (a Secret's name)
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
SCRATCH = "/tmp"  # noqa: S108 (the pod's own emptyDir)
_HOME = f"{SCRATCH}/.fairlead"  # not a name that Python, started here, would take for the package


def whole_numbers(value: Any) -> Any:
    """The same JSON with 3 where KFP made it 3.0, which Kubernetes would not take for a whole number."""
    if isinstance(value, Mapping):
        return {key: whole_numbers(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [whole_numbers(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class PodSection(Section):
    """What a pod gets, beside what fairlead decides itself.

    Attributes:
        cpu: Cores.
        memory: At most.
        gpus: NVIDIA GPUs.
        user: The user of all its containers.
        service_account: The pod's; where empty the namespace's default, without a token.
        environment: Further variables.
        secrets: Secrets whose keys become variables.
        s3_secret: The Secret with the object store's keys (AWS_ACCESS_KEY_ID and the like); empty for none, where pods
            have an identity of their own.
        pull_secrets: Secrets for the image's registry.
        pull_policy: When the kubelet asks the registry.
        volumes: Kubernetes volumes of the pod.
        mounts: Where the container has them.
        node_selector: Labels of the nodes that may run it.
        tolerations: Taints of nodes that it may stand, as Kubernetes writes them.
    """

    cpu: str = Field(default="1", pattern=r"^(\d+m|\d+(\.\d+)?)$")
    memory: str = "2Gi"
    gpus: int = Field(default=0, ge=0)
    user: int = Field(default=1000, ge=1)
    service_account: str = ""
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: list[str] = Field(default_factory=list)
    s3_secret: str = S3_SECRET
    pull_secrets: list[str] = Field(default_factory=list)
    pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    volumes: list[dict[str, Any]] = Field(default_factory=list)
    mounts: list[dict[str, Any]] = Field(default_factory=list)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[dict[str, Any]] = Field(default_factory=list)

    _whole = field_validator("volumes", "mounts", "tolerations", mode="before")(whole_numbers)

    def resources(self) -> dict[str, Any]:
        """Requests and limits of the container."""
        asked: dict[str, Any] = {"cpu": self.cpu, "memory": self.memory}
        if self.gpus:
            asked["nvidia.com/gpu"] = str(self.gpus)
        return {"requests": dict(asked), "limits": asked}

    def whole_cores(self) -> int:
        """Threads that pay: a container sees all cores of its node, whatever its limit."""
        cores = float(self.cpu[:-1]) / 1000 if self.cpu.endswith("m") else float(self.cpu)
        return max(1, int(cores))

    def pod_template(self, container: Mapping[str, Any], component: str) -> dict[str, Any]:
        """The pod template of one container, under Pod Security `restricted` as far as this side decides it.

        Args:
            container: Its name, image, command and variables; what this section says is added.
            component: The label by which network policies know such pods.

        Returns:
            Metadata and spec.
        """
        pod: dict[str, Any] = {
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": self.user, "runAsGroup": self.user, "fsGroup": self.user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [self._container(container)],
            "volumes": [{"name": "scratch", "emptyDir": {}}, *self.volumes],
        }  # fmt: skip
        if self.service_account:
            pod["serviceAccountName"] = self.service_account
        else:
            pod["automountServiceAccountToken"] = False
        optional = {
            "imagePullSecrets": [{"name": name} for name in self.pull_secrets],
            "nodeSelector": dict(self.node_selector),
            "tolerations": list(self.tolerations),
        }
        pod |= {key: value for key, value in optional.items() if value}
        labels = {"app.kubernetes.io/part-of": "fairlead", "app.kubernetes.io/component": component}
        no_mesh = {"sidecar.istio.io/inject": "false"}  # a mesh's sidecar would keep the Job from ever completing
        return {"metadata": {"labels": labels, "annotations": no_mesh}, "spec": pod}

    def _container(self, container: Mapping[str, Any]) -> dict[str, Any]:
        made = {
            **container,
            "resources": self.resources(),
            "securityContext": {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "scratch", "mountPath": SCRATCH}, *self.mounts],
        }  # fmt: skip
        sources = [{"secretRef": {"name": name}} for name in self.secrets]
        if sources:
            made["envFrom"] = sources
        if self.pull_policy:
            made["imagePullPolicy"] = self.pull_policy
        return made

    def s3_environment(self) -> list[dict[str, Any]]:
        """The object store's keys, by reference; keys that the Secret lacks stay unset."""
        if not self.s3_secret:
            return []
        return [
            {"name": key, "valueFrom": {"secretKeyRef": {"name": self.s3_secret, "key": key, "optional": True}}}
            for key in S3_KEYS
        ]

    def own_environment(self) -> dict[str, str]:
        """The variables of every such pod: where it may write, and that it is nothing but itself."""
        return {
            "FAIRLEAD_HOME": _HOME, "HOME": SCRATCH, "PYTHONUNBUFFERED": "1", "FAIRLEAD_PLATFORM": "laptop",
            "OMP_NUM_THREADS": str(self.whole_cores()),
        }  # fmt: skip

    def store_environment(self, place: Settings) -> dict[str, str]:
        """The variables by which a pod reaches the object store.

        Raises:
            ConfigurationError: The store is verified by a file of certificates that the pod would not have.
        """
        found = {"FAIRLEAD_S3_ENDPOINT": place.s3_endpoint}
        if place.s3_ca_file is not None:
            folders = [str(mount.get("mountPath", "")).rstrip("/") for mount in self.mounts]
            if not any(folder and str(place.s3_ca_file).startswith(f"{folder}/") for folder in folders):
                raise ConfigurationError(
                    f"the object store is verified by {place.s3_ca_file} (s3_ca_file), which the pods made here do not "
                    "have; mount it at the same path: pod.volumes and pod.mounts, from the Secret that holds it"
                )
            found["FAIRLEAD_S3_CA_FILE"] = str(place.s3_ca_file)
        return found

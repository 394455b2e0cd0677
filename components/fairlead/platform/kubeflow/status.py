"""How a version's servers are doing, from its pods."""

from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.names import short
from fairlead.platform.kubeflow.pods import Pod
from fairlead.platform.kubeflow.services import ServiceRecord, VersionRecord
from fairlead.platform.serving import Condition, VersionStatus


def version_status(cluster: Cluster, record: ServiceRecord, version: VersionRecord, pods: list[Pod]) -> VersionStatus:
    """What the pods of a version say together."""
    ended = [one.ended for pod in pods for one in pod.containers if one.ended and one.restarts]
    selector = f"fairlead.dev/service={record.name},fairlead.dev/version={short(version.digest)}"
    return VersionStatus(
        digest=version.digest, version=version.version, condition=_condition(pods),
        percent=record.percent(version.digest), restarts=sum(pod.restarts for pod in pods),
        last_exit=next((pod.hopeless for pod in pods if pod.hopeless), next(iter(ended), "")),
        log=f"kubectl logs --namespace {cluster.namespace} --selector {selector} --container kserve-container",
    )  # fmt: skip


def _condition(pods: list[Pod]) -> Condition:
    if any(pod.ready for pod in pods):
        return "ready"
    if any(one.waiting == "CrashLoopBackOff" for pod in pods for one in pod.containers):
        return "crash-looping"
    if any(pod.restarts for pod in pods):
        return "restarting"
    return "starting" if pods else "stopped"

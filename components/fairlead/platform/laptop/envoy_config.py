"""Envoy's configuration as data: one listener, and routes and clusters in files that Envoy watches.

Every setting here was measured: with `weighted_clusters`, `refresh_cluster_on_retry` and room for retries, a canary
that is killed costs no client a request. Do not add outlier detection, and do not put aggregate clusters in between:
they hide which version answered. Retries are safe because a prediction changes nothing.

A version has two clusters: `NAME-DIGEST` takes its share of the predictions, so its counters are what the canary is
judged by; `NAME-DIGEST-direct` takes everything else (feedback, metadata, testers that ask for a version by header).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fairlead.platform.laptop.state import ServiceState

ROUTES = "fairlead"
# each in a folder of its own: Envoy reads a file again whenever anything moves in the folder
ROUTES_FILE, CLUSTERS_FILE, BOOTSTRAP_FILE = "routes/rds.json", "clusters/cds.json", "bootstrap.json"
VERSION_HEADER = "x-fairlead-version"
WEIGHT_UNITS = 10_000  # a weight is a hundredth of a per cent
LATENCY_BUCKETS_MILLISECONDS = (
    *range(1, 10), *range(10, 30, 2), *range(30, 100, 5), *range(100, 300, 20), *range(300, 1000, 50),
    *range(1000, 3000, 200), *range(3000, 10000, 500), *range(10000, 60001, 5000),
)  # fmt: skip

_TYPE = "type.googleapis.com/envoy."
_BUFFER = "envoy.filters.http.buffer"
_BUFFER_TYPE = f"{_TYPE}extensions.filters.http.buffer.v3"
_LARGEST_BODY = 64 << 20
_RETRIES = 2
_CONNECTIONS = 10_000

Json = dict[str, Any]


def bootstrap(folder: Path, admin_socket: Path, host: str, port: int) -> Json:
    """Gives the configuration that Envoy starts with.

    Args:
        folder: Where the files of routes and clusters are, and are watched.
        admin_socket: The path of its administration socket, for this user only.
        host: The address of the listener.
        port: Its port.
    """
    return {
        "node": {"id": "fairlead", "cluster": "fairlead"},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": 0o600}}},
        "dynamic_resources": {"cds_config": _watched(folder, CLUSTERS_FILE)},
        "stats_flush_on_admin": True,
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"suffix": "upstream_rq_time"}, "buckets": list(LATENCY_BUCKETS_MILLISECONDS)}
            ]
        },
        "overload_manager": _connection_limit(),
        "static_resources": {"listeners": [_listener(folder, host, port)]},
    }


def clusters(services: Iterable[ServiceState], host: str, version: str) -> Json:
    """Gives the clusters of all versions that have a port.

    Args:
        services: The services.
        host: The address of their servers.
        version: What Envoy is to report when it has taken them.
    """
    made = [
        _cluster(name, host, version_state.port)
        for service in services
        for digest, version_state in sorted(service.versions.items())
        if version_state.port
        for name in (service.key(digest), f"{service.key(digest)}-direct")
    ]
    return {"version_info": version, "resources": made}


def routes(services: Iterable[ServiceState], version: str) -> Json:
    """Gives the routes of all services, and an answer that helps for every other path."""
    listed = [service for service in services if service.serving or service.canary]
    names = ", ".join(service.name for service in listed if service.serving) or "nothing yet"
    unknown = {
        "match": {"prefix": "/"},
        "direct_response": {
            "status": 404,
            "body": {"inline_string": f'{{"error": "no such model; serving: {names}"}}'},
        },
        "response_headers_to_add": [{"header": {"key": "content-type", "value": "application/json"}}],
    }
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [*(route for service in listed for route in _service_routes(service)), unknown],
    }
    resource = {
        "@type": f"{_TYPE}config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "validate_clusters": True,
        "virtual_hosts": [host],
    }
    return {"version_info": version, "resources": [resource]}


def _service_routes(service: ServiceState) -> list[Json]:
    """Testers by header first, then predictions by weight, then the rest to the version that carries the service."""
    v1, v2 = f"/v1/models/{service.name}", f"/v2/models/{service.name}"
    predictions: list[Json] = [{"path": f"{v1}:predict"}, {"path": f"{v2}/infer"}]
    # no regular expressions: Envoy refuses those of long names, and all routes with them
    anything: list[Json] = [{"path": v1}, {"prefix": f"{v1}:"}, {"path_separated_prefix": v2}]
    made = [
        _route(service, {**match, "headers": [_asks_for(role)]}, {"cluster": f"{service.key(digest)}-direct"})
        for role, digest in (("canary", service.canary), ("stable", service.stable))
        for match in anything
        if digest
    ]
    if service.serving:
        carrier = service.stable or service.canary or ""
        made += [_route(service, match, _shares(service)) for match in predictions]
        made += [_route(service, match, {"cluster": f"{service.key(carrier)}-direct"}) for match in anything]
    return made


def _asks_for(role: str) -> Json:
    return {"name": VERSION_HEADER, "string_match": {"exact": role}}


def _shares(service: ServiceState) -> Json:
    """The split of the predictions, in hundredths of a per cent, and the shadow's copies."""
    canary = round(service.canary_percent * WEIGHT_UNITS / 100) if service.canary else 0
    canary = canary if service.stable else WEIGHT_UNITS
    weights = [(service.canary, canary), (service.stable, WEIGHT_UNITS - canary)]
    shares: Json = {
        "weighted_clusters": {
            "clusters": [
                {"name": service.key(digest), "weight": weight} for digest, weight in weights if digest and weight
            ]
        }
    }
    if service.options.sticky_header:
        shares["weighted_clusters"]["use_hash_policy"] = True
        shares["hash_policy"] = [{"header": {"header_name": service.options.sticky_header}}]
    if service.canary and service.shadow_percent:
        numerator = round(service.shadow_percent * WEIGHT_UNITS)
        fraction = {"default_value": {"numerator": numerator, "denominator": "MILLION"}}
        mirror = {"cluster": f"{service.key(service.canary)}-direct", "runtime_fraction": fraction}
        shares["request_mirror_policies"] = [mirror]
    return shares


def _route(service: ServiceState, match: Json, action: Json) -> Json:
    options = service.options
    retries = {
        # 5xx as well: what a broken canary answers with 500, the stable version answers well
        "retry_on": "connect-failure,refused-stream,reset-before-request,reset,gateway-error,5xx",
        "num_retries": _RETRIES,
        "per_try_timeout": _seconds(options.per_try_timeout_seconds),
        "retry_back_off": {"base_interval": "0.002s"},
        "refresh_cluster_on_retry": True,
    }
    cap = {"@type": f"{_BUFFER_TYPE}.BufferPerRoute", "buffer": {"max_request_bytes": options.maximum_request_bytes}}
    return {
        "match": match,
        "route": {**action, "timeout": _seconds(options.timeout_seconds), "retry_policy": retries},
        "typed_per_filter_config": {_BUFFER: cap},
    }


def _cluster(name: str, host: str, port: int) -> Json:
    thresholds = {
        "max_retries": 1000,
        "max_connections": _CONNECTIONS,
        "max_pending_requests": _CONNECTIONS,
        "max_requests": _CONNECTIONS,
    }
    endpoint = {"endpoint": {"address": _address(host, port)}}
    return {
        "@type": f"{_TYPE}config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "circuit_breakers": {"thresholds": [thresholds]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _listener(folder: Path, host: str, port: int) -> Json:
    manager = {
        "@type": f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "preserve_external_request_id": True,  # the client's id joins its feedback to the prediction
        "always_set_request_id_in_response": True,
        "request_timeout": "60s",
        "rds": {"route_config_name": ROUTES, "config_source": _watched(folder, ROUTES_FILE)},
        "http_filters": [
            {"name": _BUFFER, "typed_config": {"@type": f"{_BUFFER_TYPE}.Buffer", "max_request_bytes": _LARGEST_BODY}},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_TYPE}extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
        ],
    }
    network = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {
        "name": "ingress",
        "address": _address(host, port),
        "enable_reuse_port": False,  # or a second Envoy could share the port and take half of the requests
        "filter_chains": [{"filters": [network]}],
    }


def _connection_limit() -> Json:
    limit = {
        "@type": f"{_TYPE}extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": _CONNECTIONS,
    }
    name = "envoy.resource_monitors.global_downstream_max_connections"
    return {"resource_monitors": [{"name": name, "typed_config": limit}]}


def _watched(folder: Path, file: str) -> Json:
    source = {"path": str(folder / file), "watched_directory": {"path": str((folder / file).parent)}}
    return {"resource_api_version": "V3", "path_config_source": source}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _seconds(value: float) -> str:
    return f"{value:.3f}s"

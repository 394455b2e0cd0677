"""Starts a registered model's server at weight 0 and proves that it answers."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from fairlead import progress
from fairlead.deployment.permission import PolicyRecord, require_verdicts
from fairlead.deployment.proof import prove
from fairlead.deployment.spec import ServingSpec
from fairlead.errors import ConfigurationError, PackageError, PlatformError, SourceError
from fairlead.platform.laptop.client import Supervisor, connect
from fairlead.platform.laptop.state import RouteOptions
from fairlead.platform.laptop.status import DeployRequest, ServiceStatus
from fairlead.settings import settings
from fairlead_serving.package import ModelPackage, PackageInvalidError

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Registered:
    """What register_model wrote: a version of a model.

    Attributes:
        name: The registered model's name.
        version: The registry's number.
        digest: The package's identity.
        uri: Where the package is.
    """

    name: str
    version: str
    digest: str
    uri: str

    @classmethod
    def read(cls, path: Path | str) -> "Registered":
        """Reads it.

        Raises:
            SourceError: The file is missing or not what register_model writes.
        """
        try:
            content = json.loads(Path(path).read_text())
            return cls(**{key: str(content[key]) for key in ("name", "version", "digest", "uri")})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{path} is not what register_model writes ({error}); register the model again") from None

    @property
    def package(self) -> Path:
        """The package's folder on this machine.

        Raises:
            SourceError: The package is elsewhere.
        """
        parts = urlparse(self.uri)
        if parts.scheme not in {"", "file"}:
            raise SourceError(f"package {self.uri}: a laptop serves packages of its own disk; fetch the model first")
        return Path(unquote(parts.path))


@dataclass(frozen=True)
class Deployment:
    """A server that runs.

    Attributes:
        endpoint: Where the service's clients post predictions.
        digest: What the server serves.
        ready_seconds: How long it took until it could answer; 0 where it ran already.
        proof: What was proven, in a sentence.
    """

    endpoint: str
    digest: str
    ready_seconds: float
    proof: str


def deploy_model(
    registered: Path | str, serving: Mapping[str, Any], policy: Mapping[str, Any], problem: str
) -> Deployment:
    """Starts a version's server; it gets no traffic yet. Repeating it changes nothing.

    Args:
        registered: The file that register_model wrote.
        serving: The problem's section `serving`.
        policy: The problem's section `policy`; the verdicts that `deployment` lists must approve this very digest.
        problem: The problem's name, by which its feature store is found.

    Returns:
        Where it serves, and what was proven.

    Raises:
        VerdictError: A verdict that the policy demands is missing, failed, for another digest, or not signed as
            demanded; or the policy is not accepted here.
        PackageError: The package is not the one that was registered.
        PlatformError: The server does not come up (its log's end is in the text) or answers wrongly.
    """
    model, spec = Registered.read(registered), ServingSpec.parse(serving, where="serving")
    require_verdicts(model.name, model.digest, policy)
    package = _open(model)
    request = _request(model, spec, package, problem)
    PolicyRecord(model.name, dict(policy)).write(request.name, model.digest)
    with connect() as supervisor:
        restarts = supervisor.deploy(request).versions[model.digest].restarts
        try:
            ready_seconds = _wait_until_ready(supervisor, request, spec.ready_timeout_seconds, restarts)
            service = supervisor.service(request.name)
            address = f"http://{supervisor.status().host}:{service.versions[model.digest].port}"
            proof = prove(package, request.name, address)
        except PlatformError:
            _withdraw(supervisor, request)
            raise
    _record(model.name, service)
    return Deployment(service.endpoint, model.digest, ready_seconds, proof)


def _record(model: str, service: ServiceStatus) -> None:
    """Tells the registry where the version runs, so that nobody collects it as garbage."""
    from fairlead.registry import deployments

    deployments.record(model, service)


def _open(model: Registered) -> ModelPackage:
    try:
        return ModelPackage.open(model.package, model.digest)
    except PackageInvalidError as error:
        raise PackageError(str(error)) from None


def _request(model: Registered, spec: ServingSpec, package: ModelPackage, problem: str) -> DeployRequest:
    name = spec.name or model.name
    options = {key: getattr(spec, key) for key in RouteOptions.model_fields}
    return DeployRequest(
        name=name, digest=model.digest, version=model.version, package=str(package.path.resolve()),
        predictions=str(settings().predictions_home(name)), features=_features(package, problem),
        options=RouteOptions(**options),
    )  # fmt: skip


def _features(package: ModelPackage, problem: str) -> str | None:
    """The feature store's folder, where the model's features are looked up for each request."""
    request = package.manifest.request
    if not request or not request.get("feature_service"):
        return None
    folder = settings().features_home(problem)
    if not (folder / "feature_store.yaml").is_file():
        raise ConfigurationError(
            f"the model looks up {request['feature_service']!r} for each request, but {folder} holds no "
            f"feature store; run materialize_features for problem {problem!r} first"
        )
    return str(folder)


def _wait_until_ready(supervisor: Supervisor, request: DeployRequest, timeout_seconds: float, restarts: int) -> float:
    started = time.monotonic()
    with progress.step(f"waiting for the server of {request.name} version {request.version}") as step:
        while True:
            status = supervisor.service(request.name).versions[request.digest]
            waited = time.monotonic() - started
            if status.condition == "ready":
                return round(waited, 3)
            if status.restarts > restarts:
                raise PlatformError(f"version {status.version} does not start: {status.last_exit}")
            if waited > timeout_seconds:
                raise PlatformError(
                    f"version {status.version} was not ready after {timeout_seconds:g} s; see {status.log}, "
                    f"or raise serving.ready_timeout_seconds"
                )
            step.update(waited)
            time.sleep(_POLL_SECONDS)


def _withdraw(supervisor: Supervisor, request: DeployRequest) -> None:
    """Removes a server that will not do; one that carries the service stays."""
    if supervisor.service(request.name).stable != request.digest:
        supervisor.remove(request.name, request.digest)

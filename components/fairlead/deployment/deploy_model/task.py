"""Starts a registered model's server at weight 0 and proves that it answers."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from fairlead.deployment.permission import PolicyRecord, require_verdicts
from fairlead.deployment.proof import prove
from fairlead.deployment.spec import ServingSpec
from fairlead.errors import PackageError, PlatformError, SourceError
from fairlead.platform.order import Order
from fairlead.platform.serving import ServiceStatus, Serving, home
from fairlead.settings import settings
from fairlead_serving.package import ModelPackage, PackageInvalidError


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
        PlatformError: The server does not come up (why is in the text) or answers wrongly.
    """
    model, spec = Registered.read(registered), ServingSpec.parse(serving, where="serving")
    digest, judges = require_verdicts(model.name, model.digest, policy)
    with _opened(model) as package, home().connect() as place:
        order = _order(model, spec, package, problem)
        order = replace(order, judges=judges, policy_digest=digest)
        PolicyRecord(model.name, dict(policy)).write(order.service, model.digest)
        ready_seconds, proof = _start(place, order)
        service = place.service(order.service)
    _record(model.name, service)
    return Deployment(service.endpoint, model.digest, ready_seconds, proof)


def _start(place: Serving, order: Order) -> tuple[float, str]:
    """Starts the version and has it prove what it is; one that cannot is removed again."""
    try:
        ready_seconds = place.deploy(order)
        address = place.address(order.service, order.digest)
        return ready_seconds, prove(order.package, order.service, address.url, address.headers)
    except PlatformError:
        place.withdraw(order.service, order.digest)
        raise


def _record(model: str, service: ServiceStatus) -> None:
    """Tells the registry where the version runs, so that nobody collects it as garbage."""
    from fairlead.registry import deployments

    deployments.record(model, service)


@contextmanager
def _opened(model: Registered) -> Iterator[ModelPackage]:
    """The package: where it is, if that is this machine's disk, else a copy for as long as it is needed.

    Raises:
        PackageError: It is not the one that was registered.
        SourceError: It cannot be fetched.
    """
    with tempfile.TemporaryDirectory() as folder:
        parts = urlparse(model.uri)
        path = Path(unquote(parts.path)) if parts.scheme in {"", "file"} else _fetch(model, Path(folder))
        try:
            package = ModelPackage.open(path, model.digest)
        except PackageInvalidError as error:
            raise PackageError(str(error)) from None
        yield package


def _fetch(model: Registered, folder: Path) -> Path:
    from fairlead.registry import store

    known = store.find(model.name, digest=model.digest)
    if known is None:
        raise SourceError(f"{model.name} {model.digest} is not in the registry that the settings name; register it")
    try:
        store.copy_package(known, folder)
    except OSError as error:
        raise SourceError(f"package {model.uri} cannot be fetched: {error}; register the model again") from None
    return folder


def _order(model: Registered, spec: ServingSpec, package: ModelPackage, problem: str) -> Order:
    options = spec.model_dump(exclude={"name", "cluster"})
    return Order(
        service=spec.name or model.name, model=model.name, version=model.version, digest=model.digest, uri=model.uri,
        package=package, problem=problem, read_features=partial(_read_features, problem), cluster=spec.cluster,
        **options,
    )  # fmt: skip


def _read_features(problem: str) -> dict[str, bytes]:
    """What servers elsewhere need to find the problem's feature store."""
    from fairlead.features.bundle import read_bundle

    return read_bundle(settings(), problem)

"""The supervisor's interface: HTTP and JSON on a socket that only this user can open."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fairlead.errors import FairleadError
from fairlead.platform.laptop.platform import Platform
from fairlead.platform.laptop.predictors import Predictor
from fairlead.platform.laptop.state import ServiceState
from fairlead.platform.laptop.status import (
    DeployRequest,
    PlatformStatus,
    ProcessStatus,
    ServiceStatus,
    SplitRequest,
    VersionStatus,
)

Handler = Callable[[Request], Awaitable[JSONResponse]]


def application(platform: Platform, finish: Callable[[], None]) -> Starlette:
    """Makes the interface.

    Args:
        platform: What it acts upon.
        finish: Called once everything has been stopped: the supervisor is to end.
    """
    api = _Api(platform, finish)
    version = "/services/{name}/versions/{digest}"
    return Starlette(
        routes=[
            Route("/status", api.status, methods=["GET"]),
            Route("/shutdown", api.shutdown, methods=["POST"]),
            Route("/services/{name}/split", api.split, methods=["PUT"]),
            Route("/services/{name}/lease", api.lease, methods=["PUT"]),
            Route("/services/{name}/counters", api.counters, methods=["GET"]),
            Route("/services", api.deploy, methods=["POST"]),
            Route(version, api.remove, methods=["DELETE"]),
            Route(f"{version}/promote", api.promote, methods=["POST"]),
        ],
        exception_handlers={FairleadError: _refuse, ValidationError: _refuse},
    )


class _Api:
    def __init__(self, platform: Platform, finish: Callable[[], None]) -> None:
        self._platform, self._finish = platform, finish

    async def status(self, _: Request) -> JSONResponse:
        return _answer(platform_status(self._platform))

    async def deploy(self, request: Request) -> JSONResponse:
        wanted = DeployRequest.model_validate_json(await request.body())
        await self._platform.deploy(wanted)
        return self._service(wanted.name)

    async def remove(self, request: Request) -> JSONResponse:
        await self._platform.remove(request.path_params["name"], request.path_params["digest"])
        return _answer(platform_status(self._platform))

    async def promote(self, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        await self._platform.promote(name, request.path_params["digest"])
        return self._service(name)

    async def split(self, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        await self._platform.apply_split(name, SplitRequest.model_validate_json(await request.body()))
        return self._service(name)

    async def lease(self, request: Request) -> JSONResponse:
        self._platform.renew(request.path_params["name"], float((await request.json())["lease_seconds"]))
        return self._service(request.path_params["name"])

    async def counters(self, request: Request) -> JSONResponse:
        found = await self._platform.counters(request.path_params["name"])
        return JSONResponse({digest: counts.model_dump(mode="json") for digest, counts in found.items()})

    async def shutdown(self, _: Request) -> JSONResponse:
        await self._platform.stop()
        self._finish()
        return JSONResponse({"stopped": True})

    def _service(self, name: str) -> JSONResponse:
        return _answer(service_status(self._platform, self._platform.service(name)))


def platform_status(platform: Platform) -> PlatformStatus:
    """Tells what runs."""
    envoy = platform.envoy
    proxy = ProcessStatus(
        condition="ready" if envoy.alive else "restarting",
        pid=envoy.process.record.pid if envoy.process else None,
        restarts=envoy.restarts,
        log=str(platform.places.log("envoy")),
    )
    services = {name: service_status(platform, service) for name, service in platform.state.services.items()}
    return PlatformStatus(pid=os.getpid(), host=platform.host, port=platform.port, envoy=proxy, services=services)


def service_status(platform: Platform, service: ServiceState) -> ServiceStatus:
    """Tells how one service is doing."""
    predictors = {digest: platform.predictors.get(service.key(digest)) for digest in service.versions}
    versions = {digest: _version(service, p) for digest, p in predictors.items() if p is not None}
    return ServiceStatus(
        name=service.name,
        endpoint=f"http://{platform.host}:{platform.port}/v1/models/{service.name}:predict",
        stable=service.stable,
        canary=service.canary,
        canary_percent=service.canary_percent,
        shadow_percent=service.shadow_percent,
        previous=service.previous,
        predictions=next((v.predictions for v in service.versions.values()), ""),
        sticky=bool(service.options.sticky_header),
        versions=versions,
    )


def _version(service: ServiceState, predictor: Predictor) -> VersionStatus:
    digest = predictor.version.digest
    canary = service.canary_percent if service.canary else 0.0
    return VersionStatus(
        condition=predictor.condition,
        pid=predictor.process.record.pid if predictor.process else None,
        restarts=predictor.restarts,
        last_exit=predictor.last_exit,
        log=str(predictor.places.log(predictor.key)),
        digest=digest,
        version=predictor.version.version,
        port=predictor.version.port,
        percent=100 - canary if digest == service.stable else canary if digest == service.canary else 0.0,
    )


def _answer(content: BaseModel) -> JSONResponse:
    return JSONResponse(content.model_dump(mode="json"))


def _refuse(_: Request, error: Exception) -> JSONResponse:
    content: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    return JSONResponse(content, status_code=409 if isinstance(error, FairleadError) else 422)

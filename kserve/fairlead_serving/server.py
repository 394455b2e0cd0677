"""kserve's model server, made lean and honest.

Beside kserve.ModelServer: uvloop; no access log and no timing middleware; the given address instead of 0.0.0.0; the
port is taken before anything is loaded, so that a second server fails at once; models load while liveness is already
answered; SIGTERM drains.
"""

import asyncio
import gc
import logging
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from kserve.model_server import ModelServer
from kserve.protocol.rest.server import RESTServer, metrics_handler
from kserve.protocol.rest.v1_endpoints import register_v1_endpoints
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from prometheus_client import REGISTRY

from fairlead_serving.answers import prediction_buckets
from fairlead_serving.errors import StartupError
from fairlead_serving.explainer import Explainer
from fairlead_serving.families import Families
from fairlead_serving.gate import Gate, Limits
from fairlead_serving.grpc_service import FairleadServicer, start_grpc
from fairlead_serving.listening import LeanRESTServer, bind
from fairlead_serving.logs import Logs
from fairlead_serving.metrics import ServingMetrics
from fairlead_serving.model import FairleadModel
from fairlead_serving.models import Models, ModelSource
from fairlead_serving.online_store import OnlineStore
from fairlead_serving.package import ModelPackage
from fairlead_serving.tracing import Traces
from fairlead_serving.transformer import FeatureTransformer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How a server runs.

    Attributes:
        models: What is served from the start.
        port: The REST port; 0 for a free one.
        host: The address to listen on.
        grpc_port: The gRPC port, or None for none.
        repository: The folder of packages that clients may load and unload, or None.
        features: The folder with feature_store.yaml, or None.
        predictions: The folder of the logs, or s3://BUCKET/PREFIX, or None for none.
        journals: The local folder of their journals where they go to S3.
        keep_days: For how many days predictions are kept; 0 for ever.
        drain_seconds: How long requests are still accepted after SIGTERM while they keep coming.
        grace_seconds: How long requests in flight may take after that.
        limits: What a request may cost.
    """

    models: tuple[ModelSource, ...]
    port: int
    host: str = "127.0.0.1"
    grpc_port: int | None = None
    repository: Path | None = None
    features: Path | None = None
    predictions: str | None = None
    journals: Path | None = None
    keep_days: int = 0
    drain_seconds: float = 2.0
    grace_seconds: float = 30.0
    limits: Limits = field(default_factory=Limits)


class FairleadServer(ModelServer):  # type: ignore[misc] # kserve is untyped
    """Serves packages until SIGTERM.

    Args:
        options: How it runs.

    Raises:
        PackageInvalidError: A package has another digest or is damaged.
        StartupError: The port is in use or the logs' folder cannot be written.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._bound = bind(options.host, options.port)
        self._families = Families.of(REGISTRY)
        self._models = Models(self._make, self._finish, self._families, options.repository)
        super().__init__(
            http_port=self._bound.getsockname()[1], enable_grpc=options.grpc_port is not None,
            grpc_port=options.grpc_port or 0, grace_period=int(options.grace_seconds), enable_latency_logging=False,
            registered_models=self._models,
        )  # fmt: skip
        self._logs = open_logs(options, self._families)
        for source in options.models:
            self._models.open(source)
        self._traces = Traces.from_environment(self._families)
        self._gate = Gate(self._kserve_app(), self._models, options.limits, self._traces)
        self._explainer = Explainer()
        self._gate.handlers.explainer = self._explainer
        self._failure: StartupError | None = None
        self._loader: threading.Thread | None = None

    def start(self, models: list[Any] | None = None) -> None:  # noqa: ARG002 - kserve's signature
        """Serves until SIGTERM.

        Raises:
            StartupError: A model or its features cannot be loaded, or the gRPC port is in use.
        """
        import uvloop

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure
        if self._loader is not None and self._loader.is_alive():
            logging.shutdown()
            os._exit(0)  # the interpreter must not be taken down under a thread that is importing C extensions

    async def _serve(self) -> None:
        options = self.options
        rest = LeanRESTServer(
            self.dataplane, self.model_repository_extension, self._gate, self._bound, options.drain_seconds,
            options.grace_seconds,
        )  # fmt: skip
        grpc_server = await self._start_grpc()
        for model in self._models.served:
            logger.info("model %s, %s", model.name, model.package.digest)
        logger.info("listening on http://%s:%d", *self._bound.getsockname()[:2])
        self._load_beside(asyncio.get_running_loop(), rest)
        await rest.start()
        if grpc_server is not None:
            await grpc_server.stop(options.grace_seconds)
        logger.info("stopped")

    async def _start_grpc(self) -> Any:
        if self.options.grpc_port is None:
            return None
        servicer = FairleadServicer(self.dataplane, self._gate)
        return await start_grpc(servicer, self.options.host, self.options.grpc_port, self.options.limits)

    def _load_beside(self, loop: asyncio.AbstractEventLoop, rest: LeanRESTServer) -> None:
        """Loads in a thread of its own; a daemon, so that SIGTERM need not wait for Feast's import."""

        def load() -> None:
            try:
                self._models.load_all()
            except StartupError as error:
                self._failure = error
            except Exception as error:  # the thread's edge: a server that cannot load must stop, not wait for ever
                logger.exception("the models cannot be loaded")
                self._failure = StartupError(f"the models cannot be loaded: {type(error).__name__}: {error}")
            if self._failure is not None:
                loop.call_soon_threadsafe(rest.stop)
                return
            gc.collect()
            gc.freeze()  # the libraries' objects live for ever; collections need not look at them again
            logger.info("ready")

        self._loader = threading.Thread(target=load, name="load", daemon=True)
        self._loader.start()

    def _close(self) -> None:
        """Writes what waits: logs and traces."""
        self._explainer.close()
        for model in self._models.served:
            model.close()
        if self._logs is not None:
            self._logs.close()
        if self._traces is not None:
            self._traces.close()

    def _make(self, name: str, package: ModelPackage) -> FairleadModel:
        metrics = ServingMetrics(REGISTRY, name, package.digest, prediction_buckets(package), package.manifest.classes)
        logs = self._logs.of(name, package) if self._logs is not None else None
        predictions, feedback = (logs.predictions, logs.feedback) if logs is not None else (None, None)
        return FairleadModel(name, package, metrics, predictions, feedback)

    def _finish(self, model: FairleadModel) -> None:
        model.finish_loading(self._transformer(model))

    def _transformer(self, model: FairleadModel) -> FeatureTransformer | None:
        request, folder = model.package.manifest.request, self.options.features
        if not request:
            return None
        if request.get("feature_service") and folder is None:
            logger.warning("no --features: requests must hold the model's inputs, not the fields of its request")
            return None
        service = request.get("feature_service")
        store = OnlineStore(folder, service) if service and folder is not None else None
        return FeatureTransformer(model.package.manifest, store, model.metrics)

    def _kserve_app(self) -> FastAPI:
        app = FastAPI(title="fairlead", docs_url=None, redoc_url=None, openapi_url=None)
        router = APIRouter()
        router.add_api_route("/", self.dataplane.live)
        router.add_api_route("/metrics", metrics_handler, methods=["GET"])
        app.include_router(router)
        register_v1_endpoints(app, self.dataplane, self.model_repository_extension)
        register_v2_endpoints(app, self.dataplane, self.model_repository_extension)
        RESTServer._add_exception_handlers(None, app)  # noqa: SLF001 - it uses nothing of its instance
        return app


def open_logs(options: Options, families: Families) -> Logs | None:
    """Opens the prediction and feedback logs, where a place for them is given.

    Raises:
        StartupError: The folder cannot be written, or the address or the settings of S3 are wrong.
    """
    if options.predictions is None:
        return None
    return Logs.open(
        options.predictions, families.count_rows, families.count_journal, journals=options.journals,
        days=options.keep_days,
    )  # fmt: skip

"""kserve's model server, made lean and honest.

Beside kserve.ModelServer: uvloop; no access log and no timing middleware; the given address instead of 0.0.0.0; the
port is taken before anything is loaded, so that a second server fails at once; the model loads while liveness is
already answered; SIGTERM drains.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from kserve.constants.constants import FASTAPI_APP_IMPORT_STRING
from kserve.model_server import ModelServer
from kserve.protocol.rest.server import RESTServer, metrics_handler
from kserve.protocol.rest.v1_endpoints import register_v1_endpoints
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from prometheus_client import REGISTRY

from fairlead_serving.answers import prediction_buckets
from fairlead_serving.errors import ServingError, StartupError
from fairlead_serving.gate import Gate, Limits
from fairlead_serving.grpc_service import FairleadServicer, start_grpc
from fairlead_serving.metrics import ServingMetrics, short
from fairlead_serving.model import FairleadModel
from fairlead_serving.online_store import OnlineStore
from fairlead_serving.package import ModelPackage
from fairlead_serving.prediction_log import JsonLinesLog, feedback_lines, prediction_lines, prepare_folder
from fairlead_serving.transformer import FeatureTransformer

QUIET_SECONDS = 0.5
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How a server runs.

    Attributes:
        name: The name under which the model is served.
        package: The model package's folder.
        digest: The digest that the package must have.
        port: The REST port; 0 for a free one.
        host: The address to listen on.
        grpc_port: The gRPC port, or None for none.
        features: The folder with feature_store.yaml, or None.
        predictions: The folder of the logs, or None for none.
        drain_seconds: How long requests are still accepted after SIGTERM while they keep coming.
        grace_seconds: How long requests in flight may take after that.
        limits: What a request may cost.
    """

    name: str
    package: Path
    digest: str
    port: int
    host: str = "127.0.0.1"
    grpc_port: int | None = None
    features: Path | None = None
    predictions: Path | None = None
    drain_seconds: float = 2.0
    grace_seconds: float = 30.0
    limits: Limits = field(default_factory=Limits)


class DrainingServer(uvicorn.Server):
    """A uvicorn server that stops politely.

    At SIGTERM or SIGINT the server stops being ready and closes each connection with its next answer, but goes on
    accepting: a client that was about to write on a kept connection, or a proxy that has not noticed yet, still gets
    its answer. When no request has come for 0.5 seconds, or after `drain_seconds`, it stops listening and finishes what
    is in flight. A second signal skips the waiting. The exit status is 0, because stopping was asked for.
    """

    def __init__(self, config: uvicorn.Config, gate: Gate, drain_seconds: float) -> None:
        super().__init__(config)
        self._gate, self._drain_seconds = gate, drain_seconds
        self._loop = asyncio.get_running_loop()
        self._drain: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Starts to drain; a second signal stops at once."""
        if self._gate.draining:
            self.should_exit = True
        self._loop.call_soon_threadsafe(self._start_draining, sig)

    def _start_draining(self, sig: int) -> None:
        if self._drain is None:
            logger.info("%s: draining", signal.Signals(sig).name)
            self._gate.draining = True
            self._drain = asyncio.create_task(self._stop_when_quiet())

    async def _stop_when_quiet(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while loop.time() - begun < self._drain_seconds:
            await asyncio.sleep(0.05)
            if loop.time() - max(begun, self._gate.last_arrival) >= QUIET_SECONDS:
                break
        self.should_exit = True


class LeanRESTServer(RESTServer):  # type: ignore[misc] # kserve is untyped
    """kserve's REST server behind the gate, on a socket that is already bound."""

    def __init__(self, data_plane: Any, extension: Any, gate: Gate, bound: socket.socket, options: Options) -> None:
        super().__init__(FASTAPI_APP_IMPORT_STRING, data_plane, extension, options.port)
        self._bound = bound
        self.config = uvicorn.Config(
            gate, host=options.host, port=options.port, log_config=None, access_log=False, lifespan="off",
            timeout_keep_alive=75, timeout_graceful_shutdown=int(options.grace_seconds), server_header=False,
            date_header=False, h11_max_incomplete_event_size=65536,
        )  # fmt: skip
        self._server = DrainingServer(self.config, gate, options.drain_seconds)

    async def start(self) -> None:
        """Serves until it is told to stop."""
        await self._server.serve(sockets=[self._bound])

    def stop(self) -> None:
        """Stops without draining, because the model cannot be loaded."""
        self._server.should_exit = True


class FairleadServer(ModelServer):  # type: ignore[misc] # kserve is untyped
    """Serves one package until SIGTERM.

    Args:
        options: How it runs.

    Raises:
        StartupError: The port is in use or the logs' folder cannot be written.
    """

    def __init__(self, options: Options, package: ModelPackage) -> None:
        self.options = options
        self._bound = bind(options.host, options.port)
        super().__init__(
            http_port=self._bound.getsockname()[1], enable_grpc=options.grpc_port is not None,
            grpc_port=options.grpc_port or 0, grace_period=int(options.grace_seconds), enable_latency_logging=False,
        )  # fmt: skip
        buckets = prediction_buckets(package)
        self._metrics = ServingMetrics(REGISTRY, options.name, package.digest, buckets, package.manifest.classes)
        self._logs = open_logs(options, package.digest, self._metrics)
        self._model = FairleadModel(options.name, package, self._metrics, self._logs.get("predictions"))
        self.register_model(self._model)
        self._gate = Gate(
            self._kserve_app(), self.dataplane.infer, self._model, self._logs.get("feedback"), options.limits
        )
        self._failure: StartupError | None = None
        self._loader: threading.Thread | None = None

    def start(self, models: list[Any] | None = None) -> None:  # noqa: ARG002 - kserve's signature
        """Serves until SIGTERM.

        Raises:
            StartupError: The model or its features cannot be loaded, or the gRPC port is in use.
        """
        import uvloop

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        finally:
            for log in self._logs.values():
                log.close()
        if self._failure is not None:
            raise self._failure
        if self._loader is not None and self._loader.is_alive():
            logging.shutdown()
            os._exit(0)  # the interpreter must not be taken down under a thread that is importing C extensions

    async def _serve(self) -> None:
        rest = LeanRESTServer(self.dataplane, self.model_repository_extension, self._gate, self._bound, self.options)
        grpc_server = await self._start_grpc()
        host, port = self._bound.getsockname()[:2]
        logger.info("model %s, %s, on http://%s:%d", self.options.name, self._model.package.digest, host, port)
        self._load_beside(asyncio.get_running_loop(), rest)
        await rest.start()
        if grpc_server is not None:
            await grpc_server.stop(self.options.grace_seconds)
        logger.info("stopped")

    async def _start_grpc(self) -> Any:
        if self.options.grpc_port is None:
            return None
        servicer = FairleadServicer(self.dataplane, self._gate, self._model, self.options.limits)
        return await start_grpc(servicer, self.options.host, self.options.grpc_port, self.options.limits)

    def _load_beside(self, loop: asyncio.AbstractEventLoop, rest: LeanRESTServer) -> None:
        """Loads in a thread of its own; a daemon, so that SIGTERM need not wait for Feast's import."""

        def load() -> None:
            try:
                self._model.finish_loading(self._transformer())
            except (StartupError, ServingError) as error:
                self._failure = StartupError(str(error))
            except Exception as error:  # the thread's edge: a server that cannot load must stop, not wait for ever
                logger.exception("the model cannot be loaded")
                self._failure = StartupError(f"the model cannot be loaded: {type(error).__name__}: {error}")
            if self._failure is not None:
                loop.call_soon_threadsafe(rest.stop)
                return
            gc.collect()
            gc.freeze()  # the libraries' objects live for ever; collections need not look at them again
            logger.info("ready")

        self._loader = threading.Thread(target=load, name="load", daemon=True)
        self._loader.start()

    def _transformer(self) -> FeatureTransformer | None:
        request, folder = self._model.package.manifest.request, self.options.features
        if not request:
            return None
        if request.get("feature_service") and folder is None:
            logger.warning("no --features: requests must hold the model's inputs, not the fields of its request")
            return None
        service = request.get("feature_service")
        store = OnlineStore(folder, service) if service and folder is not None else None
        return FeatureTransformer(self._model.package.manifest, store, self._metrics)

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


def bind(host: str, port: int) -> socket.socket:
    """Takes a port.

    Raises:
        StartupError: It is in use, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except (OSError, OverflowError) as error:
        bound.close()
        raise StartupError(
            f"cannot listen on {host} port {port}: {error}; stop what listens there, or give another --port"
        ) from None
    bound.set_inheritable(False)
    return bound


def open_logs(options: Options, digest: str, metrics: ServingMetrics) -> dict[str, JsonLinesLog]:
    """Opens the prediction and feedback logs, where a folder is given.

    Raises:
        StartupError: The folder cannot be written.
    """
    folder = options.predictions
    if folder is None:
        return {}
    try:
        prepare_folder(folder)
    except OSError as error:
        raise StartupError(f"predictions cannot be written to {folder}: {error}; give another --predictions") from None
    process = os.getpid()
    return {
        "predictions": JsonLinesLog(
            folder / f"predictions-{short(digest)}-{process}.jsonl", prediction_lines(digest),
            lambda result, rows: metrics.log_rows("predictions", result, rows),
        ),
        "feedback": JsonLinesLog(
            folder / f"feedback-{process}.jsonl", feedback_lines,
            lambda result, rows: metrics.log_rows("feedback", result, rows),
        ),
    }  # fmt: skip

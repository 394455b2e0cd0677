"""The REST side's socket and its uvicorn server: taken early, stopped politely."""

import asyncio
import logging
import signal
import socket
from types import FrameType
from typing import Any

import uvicorn
from kserve.constants.constants import FASTAPI_APP_IMPORT_STRING
from kserve.protocol.rest.server import RESTServer

from fairlead_serving.errors import StartupError
from fairlead_serving.gate import Gate
from fairlead_serving.lean_http import protocol_of

QUIET_SECONDS = 0.5
# How long a connection may be idle: longer than Envoy keeps one (an hour), so that it is never the server that closes a
# connection on which a gateway is about to send a request. That request would be answered 503, and nobody repeats it.
IDLE_SECONDS = 3700
logger = logging.getLogger(__name__)


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

    def __init__(
        self, data_plane: Any, extension: Any, gate: Gate, bound: socket.socket, drain_seconds: float,
        grace_seconds: float,
    ) -> None:  # fmt: skip
        host, port = bound.getsockname()[:2]
        super().__init__(FASTAPI_APP_IMPORT_STRING, data_plane, extension, port)
        self._bound = bound
        self.config = uvicorn.Config(
            gate, host=host, port=port, log_config=None, access_log=False, lifespan="off", http=protocol_of(gate),
            ws="none", timeout_keep_alive=IDLE_SECONDS, timeout_graceful_shutdown=int(grace_seconds),
            server_header=False, date_header=False,
        )  # fmt: skip
        self._server = DrainingServer(self.config, gate, drain_seconds)

    async def start(self) -> None:
        """Serves until it is told to stop."""
        await self._server.serve(sockets=[self._bound])

    def stop(self) -> None:
        """Stops without draining, because a model cannot be loaded."""
        self._server.should_exit = True


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

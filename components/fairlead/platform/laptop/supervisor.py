"""The one process that keeps a laptop's servers running.

    python -m fairlead.platform.laptop.supervisor --home .fairlead/platform --host 127.0.0.1 --port 8080

`fairlead.platform.laptop.client.connect` starts it when it is first needed. It holds a lock on its folder, so there is
one per folder. If it is killed, the servers live on and the next one takes them over; SIGTERM stops everything.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from fairlead.errors import FairleadError
from fairlead.platform.laptop.api import application
from fairlead.platform.laptop.places import Places
from fairlead.platform.laptop.platform import Platform

logger = logging.getLogger(__name__)

_LOCK_TRIES, _LOCK_PAUSE_SECONDS = 5, 0.05


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: ours stop the platform first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main() -> int:
    """Runs until it is told to stop; tells its start's outcome to the descriptor that `--tell` names."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    places = Places(arguments.home)
    places.make()
    with places.lock.open("a+") as lock:
        if not _locked(lock.fileno()):
            _tell(arguments.tell, {"running": True})
            return 0
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        try:
            asyncio.run(_serve(places, arguments.host, arguments.port, arguments.tell))
        except FairleadError as error:
            logger.error("%s", error)  # noqa: TRY400 (the text is for the user, who has no use for a traceback)
            _tell(arguments.tell, {"error": type(error).__name__, "message": str(error)})
            return 1
    return 0


async def _serve(places: Places, host: str, port: int, tell: int) -> None:
    platform = Platform(places, host, port)
    await platform.start()
    config = uvicorn.Config("", log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5)
    server = _Server(config)

    def finish() -> None:
        server.should_exit = True

    config.app = application(platform, finish)
    loop = asyncio.get_running_loop()
    endings: set[asyncio.Task[None]] = set()

    async def end() -> None:
        await platform.stop()
        finish()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: endings.add(loop.create_task(end())))
    listener = _listen(places)
    _tell(tell, {"ready": True})
    try:
        await server.serve(sockets=[listener])
    finally:
        places.remove_sockets()


def _listen(places: Places) -> socket.socket:
    """Opens the socket; only this user may connect, from the first moment on."""
    places.socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(places.socket))
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


def _locked(descriptor: int) -> bool:
    """Takes the lock; tries for a moment, as a client that looks who holds it holds it itself for an instant."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return True
    return False


def _tell(descriptor: int, message: dict[str, object]) -> None:
    if descriptor >= 0:
        with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "w") as pipe:
            json.dump(message, pipe)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="the platform's folder")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="where all services are reached")
    parser.add_argument("--tell", type=int, default=-1, help="an open descriptor to tell the outcome of the start to")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

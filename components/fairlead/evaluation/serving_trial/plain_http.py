"""A blocking HTTP client that sends anything, well formed or not, and tells an answer from a lost connection.

The usual clients correct what they send, repeat what failed and hide which connection was closed; here that is what is
to be found out. Loopback only; no proxy of the environment is used.
"""

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

TIMEOUT_SECONDS = 15.0


class ConnectionLostError(Exception):
    """The server closed the connection, or did not answer in time, where an answer was due."""


@dataclass(frozen=True)
class Request:
    """What is sent.

    Attributes:
        body: The body.
        headers: Beside the content's length, which is set.
    """

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: The HTTP status.
        headers: Names in lower case.
        body: The whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: It is none.
        """
        return json.loads(self.body)

    def text(self, longest: int = 300) -> str:
        """The body as text, shortened."""
        return self.body[: 4 * longest].decode("utf-8", "replace").strip()[:longest]


class Connection:
    """One connection at a time to a server on this machine, kept open between requests."""

    def __init__(self, host: str, port: int, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, request: Request | None = None) -> Answer:
        """Sends a request and waits for the answer.

        Raises:
            ConnectionLostError: None came.
        """
        body, headers = (request.body, dict(request.headers)) if request else (None, {})
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            content = response.read()
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            raise ConnectionLostError(f"{type(error).__name__}: {error}".rstrip(": ")) from None
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)


def ask_once(host: str, port: int, method: str, path: str, request: Request | None = None) -> Answer:
    """Asks over a connection of its own.

    Raises:
        ConnectionLostError: No answer came.
    """
    with Connection(host, port) as connection:
        return connection.ask(method, path, request)


def send_raw(host: str, port: int, content: bytes) -> bytes:
    """Sends bytes that may be no HTTP, ends the sending side, and reads what comes until the server closes.

    Returns:
        What came; nothing where the server closed without a word or reset the connection.

    Raises:
        ConnectionLostError: Nobody took the connection.
    """
    try:
        opened = socket.create_connection((host, port), timeout=5)
    except OSError as error:
        raise ConnectionLostError(f"{type(error).__name__}: {error}") from None
    with opened as connection:
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        except OSError:
            return b""
    return b"".join(parts)

"""Predictions from a server over any protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np

from fairlead.errors import PlatformError
from fairlead.evaluation.serving_spec import Protocol
from fairlead.evaluation.serving_trial.grpc_client import GrpcClient, infer_request, read_outputs
from fairlead.evaluation.serving_trial.payloads import READERS, WRITERS, Columns, Field, Outputs, path_of
from fairlead.evaluation.serving_trial.plain_http import Answer, Connection, ConnectionLostError, Request
from fairlead.evaluation.serving_trial.process import HOST, ServerProcess


@dataclass(frozen=True)
class Prediction:
    """What a server predicted.

    Attributes:
        outputs: By name, (N, …).
        headers: Of the answer, names in lower case; over gRPC its metadata.
    """

    outputs: Outputs
    headers: Mapping[str, str]


@dataclass
class Asker:
    """Asks one server for predictions; connections are kept.

    Attributes:
        server: The server.
        fields: What its requests hold.
    """

    server: ServerProcess
    fields: tuple[Field, ...]
    _http: Connection | None = field(default=None, repr=False)
    _grpc: GrpcClient | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in (self._http, self._grpc):
            if client is not None:
                client.__exit__(None, None, None)

    @property
    def grpc(self) -> GrpcClient:
        """The gRPC channel."""
        if self._grpc is None:
            self._grpc = GrpcClient(HOST, self.server.grpc_port)
        return self._grpc

    def predict(self, protocol: Protocol, columns: Columns) -> Prediction:
        """Asks for predictions.

        Args:
            protocol: How.
            columns: By field, N values.

        Raises:
            PlatformError: The server refuses, loses the connection, or answers what cannot be read.
        """
        if protocol == "grpc":
            return self._over_grpc(columns)
        request = WRITERS[protocol](self.fields, columns)
        try:
            answer = self._ask(path_of(protocol, self.server.name), request)
        except ConnectionLostError as error:
            raise PlatformError(f"the server lost the connection of a valid request over {protocol}: {error}") from None
        if not answer.ok:
            raise PlatformError(f"the server answers a valid request over {protocol} {answer.status}: {answer.text()}")
        return Prediction(READERS[protocol](answer), answer.headers)

    def _ask(self, path: str, request: Request) -> Answer:
        """Asks over the kept connection; where the server has closed it since the last answer, over a new one."""
        if self._http is not None:
            try:
                return self._http.ask("POST", path, request)
            except ConnectionLostError:
                self._http = None
        self._http = self.server.connect()
        return self._http.ask("POST", path, request)

    def _over_grpc(self, columns: Columns) -> Prediction:
        answer = self.grpc.call("ModelInfer", infer_request(self.server.name, self.fields, columns))
        if answer.code != "OK":
            raise PlatformError(f"the server answers a valid request over grpc {answer.code}: {answer.text[:300]}")
        return Prediction(read_outputs(answer.message), answer.headers)


def largest_difference(served: Outputs, expected: Outputs) -> float:
    """How far served predictions are from the expected ones.

    Args:
        served: Outputs by name; others than the expected are not looked at.
        expected: Outputs by name, (N, …).

    Returns:
        The largest difference, divided by the expected value's size where that is beyond 1.

    Raises:
        PlatformError: An output is lacking, has another shape, or is no number.
    """
    largest = 0.0
    for name, wanted in expected.items():
        if name not in served:
            raise PlatformError(f"the server does not give the output {name!r}; it gives {', '.join(served)}")
        found = served[name]
        if found.shape != wanted.shape or found.dtype.kind not in "fiub":
            raise PlatformError(
                f"the server gives {name!r} of shape {list(found.shape)} and type {found.dtype}; the package gives "
                f"{list(wanted.shape)} of {wanted.dtype}"
            )
        exact = wanted.astype(np.float64)
        away = np.abs(found.astype(np.float64) - exact) / np.maximum(1.0, np.abs(exact))
        largest = max(largest, float(np.nan_to_num(away, nan=np.inf).max(initial=0.0)))
    return largest

"""V2 over gRPC: predictions with raw tensors, readiness, and calls that are wrong on purpose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc  # type: ignore[import-untyped]

from fairlead.errors import PlatformError
from fairlead.evaluation.serving_trial.grpc_messages import SERVICE, message
from fairlead.evaluation.serving_trial.payloads import Columns, Field, Outputs, raw_tensor, read_raw

OPTIONS = (
    ("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)  # fmt: skip
_CONTENTS = {
    "BOOL": "bool_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
    "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
}  # fmt: skip


@dataclass(frozen=True)
class GrpcAnswer:
    """What a call came to.

    Attributes:
        code: The name of the status: `OK`, `INVALID_ARGUMENT`, …
        text: The status's words.
        message: The response, where the status is OK.
        headers: Initial and trailing metadata.
    """

    code: str
    text: str
    message: Any
    headers: dict[str, str]


class GrpcClient:
    """A channel to one server on this machine."""

    def __init__(self, host: str, port: int, timeout_seconds: float = 30.0) -> None:
        self._timeout = timeout_seconds
        self._channel = grpc.insecure_channel(f"{host}:{port}", options=OPTIONS)
        self._calls: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def call(self, method: str, request: Any) -> GrpcAnswer:
        """Calls a method of the service: `ModelInfer`."""
        if method not in self._calls:
            response = message(f"{method}Response")
            self._calls[method] = self._channel.unary_unary(
                SERVICE + method, request_serializer=lambda sent: sent.SerializeToString(),
                response_deserializer=response.FromString,
            )  # fmt: skip
        try:
            answer, call = self._calls[method].with_call(request, timeout=self._timeout)  # type: ignore[attr-defined]
        except grpc.RpcError as error:
            return GrpcAnswer(error.code().name, str(error.details() or ""), None, _headers(error))
        return GrpcAnswer("OK", "", answer, _headers(call))

    def is_ready(self, name: str) -> bool:
        """Whether the server says that the model is ready."""
        answer = self.call("ModelReady", message("ModelReadyRequest")(name=name))
        return answer.code == "OK" and bool(answer.message.ready)


def _headers(call: Any) -> dict[str, str]:
    pairs = [*(call.initial_metadata() or ()), *(call.trailing_metadata() or ())]
    return {key: value for key, value in pairs if isinstance(value, str)}


def infer_request(name: str, fields: Sequence[Field], columns: Columns) -> Any:
    """Makes a request with raw tensors."""
    request = message("ModelInferRequest")(model_name=name)
    for field in fields:
        values = columns[field.name]
        request.inputs.add(name=field.name, datatype=field.datatype, shape=[len(values), *field.shape])
        request.raw_input_contents.append(raw_tensor(field, values))
    return request


def read_outputs(response: Any) -> Outputs:
    """Reads the outputs of a response, raw or typed.

    Raises:
        PlatformError: They do not fit their shapes.
    """
    import numpy as np

    raw, found = response.raw_output_contents, {}
    try:
        for index, output in enumerate(response.outputs):
            shape = list(output.shape)
            if raw:
                found[output.name] = read_raw(output.datatype, shape, raw[index])
                continue
            values = list(getattr(output.contents, _CONTENTS[output.datatype]))
            decoded = [value.decode() for value in values] if output.datatype == "BYTES" else values
            found[output.name] = np.array(decoded).reshape(shape)
    except (ValueError, KeyError, IndexError) as error:
        raise PlatformError(f"the server's answer over gRPC does not fit its shapes: {error}") from None
    return found

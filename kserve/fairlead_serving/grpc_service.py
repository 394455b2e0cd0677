"""V2 over gRPC: kserve's servicer with strict tensors, the same checks as over REST, and metrics.

kserve's own server listens on every address and answers INTERNAL to malformed tensors. Answers carry the trailing
metadata x-fairlead-digest and x-request-id.
"""

import logging
import time
from typing import Any

import grpc  # type: ignore[import-untyped]
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.servicer import InferenceServicer

from fairlead_serving import requests, tensors
from fairlead_serving.errors import NotServedError, RequestInvalidError, ServingError, StartupError, UnavailableError
from fairlead_serving.gate import Gate, Limits
from fairlead_serving.model import FairleadModel
from fairlead_serving.query import Answer, Query
from fairlead_serving.tensors import Tensor

CONTENTS = {
    "BOOL": "bool_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
    "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
}  # fmt: skip
OUTPUT_CONTENTS = {
    "FP32": "fp32_contents", "FP64": "fp64_contents", "BOOL": "bool_contents", "INT64": "int64_contents",
    "BYTES": "bytes_contents",
}  # fmt: skip
logger = logging.getLogger(__name__)


class FairleadServicer(InferenceServicer):  # type: ignore[misc] # kserve is untyped
    """Answers gRPC calls for one model.

    Args:
        data_plane: kserve's data plane.
        gate: The REST side, whose readiness is shared.
        model: The served model.
        limits: What a request may cost.
    """

    def __init__(self, data_plane: Any, gate: Gate, model: FairleadModel, limits: Limits) -> None:
        super().__init__(data_plane, None)
        self._plane, self._gate, self._model, self._limits = data_plane, gate, model, limits

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Whether the model is loaded and the server does not drain."""
        return pb.ServerReadyResponse(ready=self._ready())

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Whether the model is loaded and the server does not drain."""
        if request.name != self._model.name:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"no model {request.name[:80]!r}; here is {self._model.name}"
            )
        return pb.ModelReadyResponse(ready=self._ready())

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The fields and outputs of the model."""
        if request.name != self._model.name:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"no model {request.name[:80]!r}; here is {self._model.name}"
            )
        return await super().ModelMetadata(request, context)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Refused: one process serves one version for its whole life."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "one process serves one version; start another process")

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refused: one process serves one version for its whole life."""
        await self.RepositoryModelLoad(request, context)

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Predicts."""
        started, status, fault = time.perf_counter(), 200, None
        self._gate.active += 1
        self._gate.last_arrival = time.monotonic()
        try:
            return await self._infer(request, context)
        except ServingError as error:
            status, fault = error.status, (error.grpc_code, str(error))
        except Exception:  # the process's edge, as over REST
            logger.exception("the prediction failed")
            status, fault = 500, ("INTERNAL", "the prediction failed inside the server; its log says why")
        finally:
            self._gate.active -= 1
            self._model.metrics.request("grpc", status, time.perf_counter() - started)
        return await context.abort(grpc.StatusCode[fault[0]], fault[1])

    async def _infer(self, request: Any, context: Any) -> Any:
        given = dict(context.invocation_metadata() or ()).get("x-request-id") or request.id
        request_id = requests.check_id(given)
        context.set_trailing_metadata((("x-fairlead-digest", self._model.package.digest), ("x-request-id", request_id)))
        if request.model_name != self._model.name:
            raise NotServedError(f"no model {request.model_name[:80]!r}; here is {self._model.name}")
        if not self._model.ready:
            raise UnavailableError(f"model {self._model.name!r} is being loaded; try again in some seconds")
        answer, _ = await self._plane.infer(self._model.name, self._query(request, request_id))
        return self._response(answer, raw=bool(request.raw_input_contents))

    def _query(self, request: Any, request_id: str) -> Query:
        raw = request.raw_input_contents
        if raw and len(raw) != len(request.inputs):
            raise RequestInvalidError(f"{len(request.inputs)} inputs but {len(raw)} raw_input_contents; send one each")
        if not request.inputs:
            raise RequestInvalidError("the request has no inputs; send one tensor per field")
        found = [_tensor(entry, raw[index] if raw else None) for index, entry in enumerate(request.inputs)]
        columns, rows = tensors.columns_of(found, self._model.schema, self._limits.rows)
        wanted = {output.name: None for output in request.outputs} or None
        return Query("grpc", request_id, columns, rows, wanted)

    def _response(self, answer: Answer, *, raw: bool) -> Any:
        response = pb.ModelInferResponse(
            model_name=self._model.name, model_version=self._model.version, id=answer.query.request_id
        )
        for name, values in answer.outputs.items():
            datatype = tensors.datatype_of(values)
            output = response.outputs.add(name=name, datatype=datatype, shape=values.shape)
            if raw:
                response.raw_output_contents.append(tensors.write_raw(values))
            else:
                flat = values.ravel().tolist()
                plain = [text.encode() for text in flat] if datatype == "BYTES" else flat
                getattr(output.contents, OUTPUT_CONTENTS[datatype]).extend(plain)
        return response

    def _ready(self) -> bool:
        return bool(self._model.ready) and not self._gate.draining


def _tensor(entry: Any, raw: bytes | None) -> Tensor:
    tensors.check_head(entry.name, entry.datatype, list(entry.shape))
    if raw is not None:
        return Tensor(entry.name, entry.datatype, list(entry.shape), tensors.read_raw(entry.name, entry.datatype, raw))
    if entry.datatype not in CONTENTS:
        raise RequestInvalidError(f"input {entry.name!r} of datatype {entry.datatype} must be sent as raw contents")
    values = list(getattr(entry.contents, CONTENTS[entry.datatype]))
    if entry.datatype in ("FP32", "FP64"):  # NaN is the missing value, as in raw contents
        values = [None if value != value else value for value in values]  # noqa: PLR0124
    return Tensor(entry.name, entry.datatype, list(entry.shape), values)


async def start_grpc(servicer: FairleadServicer, host: str, port: int, limits: Limits) -> aio.Server:
    """Starts the gRPC server.

    Raises:
        StartupError: The port is in use.
    """
    options = [
        ("grpc.max_receive_message_length", limits.body_bytes),
        ("grpc.so_reuseport", 0),  # else two servers share a port without noticing
    ]
    server = aio.server(options=options)
    grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        bound = 0
    if not bound:
        raise StartupError(
            f"gRPC port {port} of {host} is in use; stop what listens there, or give another --grpc-port"
        )
    await server.start()
    logger.info("gRPC on %s:%d", host, bound)
    return server

"""V2 over gRPC: kserve's servicer with strict tensors, the same checks as over REST, and metrics.

kserve's own server listens on every address and answers INTERNAL to malformed tensors. Answers carry the trailing
metadata x-fairlead-digest and x-request-id.
"""

import asyncio
import logging
import time
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer

from fairlead_serving import requests, tensors
from fairlead_serving.errors import RequestInvalidError, ServingError, StartupError, UnavailableError
from fairlead_serving.exchange import read_traceparent
from fairlead_serving.gate import CLIENT_GONE, Gate, Limits
from fairlead_serving.model import FairleadModel
from fairlead_serving.query import Answer, Query
from fairlead_serving.repository import check_load, metadata
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
SERVICE = "inference.GRPCInferenceService"
logger = logging.getLogger(__name__)


class FairleadServicer(InferenceServicer):  # type: ignore[misc] # kserve is untyped
    """Answers gRPC calls.

    Args:
        data_plane: kserve's data plane.
        gate: The REST side, whose models, queue and readiness are shared.
    """

    def __init__(self, data_plane: Any, gate: Gate) -> None:
        super().__init__(data_plane, None)
        self._gate, self._handlers, self._models = gate, gate.handlers, gate.models

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Whether all models are loaded and the server does not drain."""
        return pb.ServerReadyResponse(ready=not self._gate.draining and all(m.ready for m in self._models.served))

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Whether the model is loaded and the server does not drain."""
        model = await self._find(request.name, request.version, context)
        return pb.ModelReadyResponse(ready=bool(model.ready) and not self._gate.draining)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The fields and outputs of the model."""
        model = await self._find(request.name, request.version, context)
        try:
            known = metadata(model)
        except ServingError as error:
            return await _abort(context, error)
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=model.name, versions=known["versions"], platform=known["platform"],
            inputs=[tensor(**entry) for entry in known["inputs"]],
            outputs=[tensor(**entry) for entry in known["outputs"]],
        )  # fmt: skip

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Loads a package of the repository; the request's model name is NAME@DIGEST."""
        name, _, digest = request.model_name.partition("@")
        try:
            check_load(name, digest)
            await self._models.load_from_repository(name, digest)
        except ServingError as error:
            return await _abort(context, error)
        return pb.RepositoryModelLoadResponse(model_name=name, isLoaded=True)

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Unloads a model; the request's model name is NAME or NAME@DIGEST."""
        name, _, digest = request.model_name.partition("@")
        try:
            self._models.unload(name, digest or None)
        except ServingError as error:
            return await _abort(context, error)
        return pb.RepositoryModelUnloadResponse(model_name=name, isUnloaded=True)

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Predicts."""
        started, received, gate = time.perf_counter(), time.time(), self._gate
        model: FairleadModel | None = self._models.models.get(request.model_name)
        gate.active += 1
        gate.last_arrival = time.monotonic()
        status, trace, query = 200, None, None
        if model is not None:
            model.metrics.in_flight += 1
        try:
            sent = dict(context.invocation_metadata() or ())
            request_id = requests.check_id(sent.get("x-request-id") or request.id)
            traceparent = read_traceparent({b"traceparent": str(sent.get("traceparent", "")).encode()})
            trace = gate.traces.begin(traceparent) if gate.traces is not None and model is not None else None
            traceparent = trace.traceparent if trace is not None else traceparent
            self._tell(context, model, request_id, traceparent)
            model = self._ready(request)
            query = self._query(model, request, request_id)
            query.started, query.received, query.decoded = started, received, time.perf_counter()
            query.traceparent, left = traceparent, context.time_remaining()
            query.deadline = None if left is None else started + left
            answer = await self._handlers.infer(model, query)
            return self._response(model, answer, raw=bool(request.raw_input_contents))
        except ServingError as error:
            status, fault = error.status, error
        except asyncio.CancelledError:  # the client has gone, or its deadline has passed
            status = CLIENT_GONE
            raise
        except Exception:  # the process's edge, as over REST
            logger.exception("the prediction failed")
            status, fault = 500, ServingError("the prediction failed inside the server; its log says why")
        finally:
            gate.active -= 1
            self._count(model, status, trace, query, started)
        return await _abort(context, fault)

    def _count(self, model: "FairleadModel | None", status: int, trace: Any, query: Any, started: float) -> None:
        if model is None:
            self._models.count_other(status)
            return
        finished = time.perf_counter()
        model.metrics.in_flight -= 1
        model.metrics.request("grpc", status, finished - started)
        if trace is not None:
            trace.finish(model, "grpc", status, query, started, finished)

    @staticmethod
    def _tell(context: Any, model: "FairleadModel | None", request_id: str, traceparent: str) -> None:
        told = [("x-request-id", request_id)]
        told += [("x-fairlead-digest", model.package.digest)] if model is not None else []
        context.set_trailing_metadata((*told, *([("traceparent", traceparent)] if traceparent else [])))

    def _ready(self, request: Any) -> "FairleadModel":
        model = self._models.find(request.model_name)
        self._models.check_version(model, request.model_version)
        if not model.ready:
            raise UnavailableError(f"model {model.name!r} is being loaded; try again in some seconds")
        return model

    async def _find(self, name: str, version: str, context: Any) -> "FairleadModel":
        try:
            model = self._models.find(name)
            self._models.check_version(model, version)
        except ServingError as error:
            await _abort(context, error)
            raise
        return model

    def _query(self, model: "FairleadModel", request: Any, request_id: str) -> Query:
        raw = request.raw_input_contents
        if raw and len(raw) != len(request.inputs):
            raise RequestInvalidError(f"{len(request.inputs)} inputs but {len(raw)} raw_input_contents; send one each")
        if not request.inputs:
            raise RequestInvalidError("the request has no inputs; send one tensor per field")
        found = [_tensor(entry, raw[index] if raw else None) for index, entry in enumerate(request.inputs)]
        columns, rows = tensors.columns_of(found, model.schema, self._handlers.limits.rows)
        wanted = {output.name: None for output in request.outputs} or None
        return Query("grpc", request_id, columns, rows, wanted)

    @staticmethod
    def _response(model: "FairleadModel", answer: Answer, *, raw: bool) -> Any:
        response = pb.ModelInferResponse(model_name=model.name, model_version=model.version, id=answer.query.request_id)
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


async def _abort(context: Any, error: ServingError) -> Any:
    return await context.abort(grpc.StatusCode[error.grpc_code], str(error))


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


def _methods(servicer: FairleadServicer) -> dict[str, Any]:
    """The service's methods; bytes that are no message are INVALID_ARGUMENT, where gRPC's own way is INTERNAL."""
    methods = {}
    for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        message = getattr(pb, method.input_type.name)
        methods[method.name] = grpc.unary_unary_rpc_method_handler(
            _refuse_garbage(getattr(servicer, method.name)), request_deserializer=_parser(message),
            response_serializer=getattr(pb, method.output_type.name).SerializeToString,
        )  # fmt: skip
    return methods


def _parser(message: Any) -> Any:
    def parse(content: bytes) -> Any:
        try:
            return message.FromString(content)
        except DecodeError:
            return None

    return parse


def _refuse_garbage(method: Any) -> Any:
    async def answer(request: Any, context: Any) -> Any:
        if request is None:
            return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the bytes are no message of this method")
        return await method(request, context)

    return answer


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
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, _methods(servicer)),))
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

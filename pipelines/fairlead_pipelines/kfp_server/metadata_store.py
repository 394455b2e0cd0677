"""The part of ML Metadata's protocol that tells what a run made, spoken as KFP's own UI speaks it: gRPC-Web.

KFP 2 keeps every task's outputs, and the figures of its metrics, in ML Metadata alone; its REST API hands out neither
(`read artifact from run with v2 IR spec is not supported`). The library `ml-metadata` has no wheel for Python 3.11, so
the few messages that are needed are declared here; field numbers are those of ml_metadata/proto/metadata_store.proto.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

from fairlead_pipelines.kfp_server.connection import Server
from fairlead_pipelines.kfp_server.errors import ServerError

PACKAGE = "ml_metadata"
SERVICE = f"{PACKAGE}.MetadataStoreService"
KIND = "application/grpc-web+proto"
RUN_CONTEXT = "system.PipelineRun"
OUTPUT = 4  # Event.Type
CACHED = 5  # Execution.State
_PAGE = 100
_FRAME = struct.Struct(">BI")
_TRAILER = 0x80
_FIELDS: dict[str, tuple[tuple[int, str, str], ...]] = {
    # A type in quotes-free lower case is a scalar; "*" before it repeats it, "%" makes it a map from strings.
    "Value": (
        (1, "int_value", "int64"), (2, "double_value", "double"), (3, "string_value", "string"),
        (4, "struct_value", "google.protobuf.Struct"), (6, "bool_value", "bool"),
    ),
    "Artifact": (
        (1, "id", "int64"), (3, "uri", "string"), (4, "properties", "%Value"), (5, "custom_properties", "%Value"),
        (7, "name", "string"), (8, "type", "string"),
    ),
    "Step": ((1, "index", "int64"), (2, "key", "string")),
    "Path": ((1, "steps", "*Step"),),
    "Event": ((1, "artifact_id", "int64"), (2, "execution_id", "int64"), (3, "path", "Path"), (4, "type", "int32")),
    "Execution": (
        (1, "id", "int64"), (3, "last_known_state", "int32"), (4, "properties", "%Value"),
        (5, "custom_properties", "%Value"), (7, "type", "string"),
    ),
    "Context": ((1, "id", "int64"), (3, "name", "string")),
    "ListOperationOptions": ((1, "max_result_size", "int32"), (3, "next_page_token", "string")),
    "GetContextByTypeAndNameRequest": ((1, "type_name", "string"), (2, "context_name", "string")),
    "GetContextByTypeAndNameResponse": ((1, "context", "Context"),),
    "GetExecutionsByContextRequest": ((1, "context_id", "int64"), (2, "options", "ListOperationOptions")),
    "GetExecutionsByContextResponse": ((1, "executions", "*Execution"), (2, "next_page_token", "string")),
    "GetArtifactsByContextRequest": ((1, "context_id", "int64"), (2, "options", "ListOperationOptions")),
    "GetArtifactsByContextResponse": ((1, "artifacts", "*Artifact"), (2, "next_page_token", "string")),
    "GetEventsByExecutionIDsRequest": ((1, "execution_ids", "*int64"),),
    "GetEventsByExecutionIDsResponse": ((1, "events", "*Event"),),
}  # fmt: skip
_SCALARS = {"int64": 3, "double": 1, "string": 9, "bool": 8, "int32": 5}
_ONE_OF = {"Value", "Step"}


@cache
def messages() -> dict[str, Any]:
    """The classes of the messages, by name."""
    file = descriptor_pb2.FileDescriptorProto(name="fairlead/ml_metadata.proto", package=PACKAGE, syntax="proto2")
    file.dependency.append("google/protobuf/struct.proto")
    for name, fields in _FIELDS.items():
        _declare(file.message_type.add(name=name), fields, one_of=name in _ONE_OF)
    pool = descriptor_pool.DescriptorPool()
    known = descriptor_pb2.FileDescriptorProto()
    struct_pb2.DESCRIPTOR.CopyToProto(known)
    pool.Add(known)
    pool.Add(file)
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{n}")) for n in _FIELDS}


def call(server: Server, method: str, **fields: Any) -> Any:
    """Calls a method of ML Metadata through KFP's UI.

    Args:
        server: The server; its address is that of the UI.
        method: Such as `GetArtifactsByContext`.
        **fields: The request's.

    Returns:
        The response.

    Raises:
        ServerError: It cannot be reached there, or refuses.
    """
    body = messages()[f"{method}Request"](**fields).SerializeToString()
    what = "asking what the run made"
    answer, head = server.post(what, f"/{SERVICE}/{method}", _FRAME.pack(0, len(body)) + body, KIND)
    content, trailer = _frames(what, answer)
    told = {**head, **trailer}  # an answer without a message has its status in the head
    if told.get("grpc-status") != "0":
        said = unquote(told.get("grpc-message", "")) or "it does not say why"
        if "grpc-status" not in told:
            raise ServerError(f"{what}: the answer is no gRPC-Web; FAIRLEAD_KFP_URI must lead to KFP's UI")
        raise ServerError(f"{what}: ML Metadata refuses {method}: {said}")
    return messages()[f"{method}Response"].FromString(content)


def pages(server: Server, method: str, items: str, **fields: Any) -> Iterator[Any]:
    """Yields the items of a listing, page by page."""
    token = ""
    while True:
        options = messages()["ListOperationOptions"](max_result_size=_PAGE, next_page_token=token)
        answer = call(server, method, options=options, **fields)
        yield from getattr(answer, items)
        token = answer.next_page_token
        if not token:
            return


def plain(value: Any) -> Any:
    """A Value as Python has it; structures become dicts and lists."""
    from google.protobuf import json_format

    kind = value.WhichOneof("value")
    if kind is None:
        return None
    return json_format.MessageToDict(value.struct_value) if kind == "struct_value" else getattr(value, kind)


def _declare(message: Any, fields: Sequence[tuple[int, str, str]], *, one_of: bool) -> None:
    if one_of:
        message.oneof_decl.add(name="value")
    for number, name, kind in fields:
        field = message.field.add(name=name, number=number, label=1)
        if kind.startswith("%"):
            _declare_map(message, field, kind[1:])
            continue
        if kind.startswith("*"):
            field.label = 3
        bare = kind.lstrip("*")
        if bare in _SCALARS:
            field.type = _SCALARS[bare]
        else:
            field.type, field.type_name = 11, f".{bare if '.' in bare else f'{PACKAGE}.{bare}'}"
        if one_of:
            field.oneof_index = 0


def _declare_map(message: Any, field: Any, value: str) -> None:
    entry = message.nested_type.add(name="".join(part.capitalize() for part in field.name.split("_")) + "Entry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=1, type=9)
    entry.field.add(name="value", number=2, label=1, type=11, type_name=f".{PACKAGE}.{value}")
    field.label, field.type, field.type_name = 3, 11, f".{PACKAGE}.{message.name}.{entry.name}"


def _frames(what: str, answer: bytes) -> tuple[bytes, dict[str, str]]:
    """The message and the trailer of a gRPC-Web answer."""
    content, trailer, position = b"", {}, 0
    while position < len(answer):
        if len(answer) - position < _FRAME.size:
            raise ServerError(f"{what}: the answer is no gRPC-Web; FAIRLEAD_KFP_URI must lead to KFP's UI")
        flags, length = _FRAME.unpack_from(answer, position)
        part = answer[position + _FRAME.size : position + _FRAME.size + length]
        if len(part) != length:
            raise ServerError(
                f"{what}: the answer is not whole, or no gRPC-Web; FAIRLEAD_KFP_URI must lead to KFP's UI"
            )
        position += _FRAME.size + length
        if flags & _TRAILER:
            pairs = (line.partition(":") for line in part.decode("utf-8", "replace").splitlines() if ":" in line)
            trailer = {name.strip().lower(): text.strip() for name, _, text in pairs}
        else:
            content += part
    return content, trailer

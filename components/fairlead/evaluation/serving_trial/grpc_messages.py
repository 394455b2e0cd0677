"""The messages of V2 over gRPC, declared here because kserve's generated ones cost 0.7 s: they import all of kserve.

Numbers and types are those of the Open Inference Protocol's grpc_predict_v2.proto. Parameters are left out: nothing
here sends any, and protobuf skips unknown fields when it reads. The messages live in a pool beside kserve's.
"""

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "/inference.GRPCInferenceService/"
_SCALARS = {
    "bool": 8,
    "int32": 5,
    "int64": 3,
    "uint32": 13,
    "uint64": 4,
    "float": 2,
    "double": 1,
    "bytes": 12,
    "string": 9,
}
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "InferTensorContents": (
        ("bool_contents", 1, "*bool"), ("int_contents", 2, "*int32"), ("int64_contents", 3, "*int64"),
        ("uint_contents", 4, "*uint32"), ("uint64_contents", 5, "*uint64"), ("fp32_contents", 6, "*float"),
        ("fp64_contents", 7, "*double"), ("bytes_contents", 8, "*bytes"),
    ),
    "Tensor": (  # InferInputTensor and InferOutputTensor, which are alike
        ("name", 1, "string"), ("datatype", 2, "string"), ("shape", 3, "*int64"),
        ("contents", 5, "InferTensorContents"),
    ),
    "RequestedOutput": (("name", 1, "string"),),
    "ModelInferRequest": (
        ("model_name", 1, "string"), ("model_version", 2, "string"), ("id", 3, "string"), ("inputs", 5, "*Tensor"),
        ("outputs", 6, "*RequestedOutput"), ("raw_input_contents", 7, "*bytes"),
    ),
    "ModelInferResponse": (
        ("model_name", 1, "string"), ("model_version", 2, "string"), ("id", 3, "string"), ("outputs", 5, "*Tensor"),
        ("raw_output_contents", 6, "*bytes"),
    ),
    "ModelReadyRequest": (("name", 1, "string"), ("version", 2, "string")),
    "ModelReadyResponse": (("ready", 1, "bool"),),
}  # fmt: skip


@cache
def message(name: str) -> Any:
    """The class of a message: `ModelInferRequest`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"inference.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package="inference", syntax="proto3")
    for name, fields in _MESSAGES.items():
        declared = file.message_type.add(name=name)
        for field, number, kind in fields:
            repeated, plain = kind.startswith("*"), kind.lstrip("*")
            kinds = {"type": _SCALARS[plain]} if plain in _SCALARS else {"type": 11, "type_name": f".inference.{plain}"}
            declared.field.add(name=field, number=number, label=3 if repeated else 1, **kinds)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool

"""Malformed requests over gRPC, made from a valid one of the model that is served.

A message that is no protobuf at all is left out: gRPC itself answers INTERNAL to it, before any server sees it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fairlead.evaluation.serving_trial.grpc_client import infer_request
from fairlead.evaluation.serving_trial.payloads import Columns, Field
from fairlead.evaluation.validate_server.http_faults import OVERSIZE_BYTES

REFUSALS = frozenset({
    "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED",
})  # fmt: skip


def grpc_faults(name: str, fields: Sequence[Field], columns: Columns) -> Iterator[tuple[str, Any]]:
    """Makes the malformed requests.

    Args:
        name: The model's name.
        fields: What its requests hold.
        columns: One valid row.

    Yields:
        What is wrong, and the request.
    """

    def changed(change: Callable[[Any], None]) -> Any:
        request = infer_request(name, fields, columns)
        change(request)
        return request

    def inputs(**values: Any) -> Callable[[Any], None]:
        def change(request: Any) -> None:
            for key, value in values.items():
                if key == "shape":
                    request.inputs[0].shape[:] = value
                else:
                    setattr(request.inputs[0], key, value)

        return change

    row = list(fields[0].shape)
    yield "an unknown model", infer_request(f"no-{name}", fields, columns)
    yield "no inputs", changed(_drop_all)
    yield "an input is lacking", changed(_drop_first)
    yield "an unknown input", changed(inputs(name="no such input"))
    yield "an input without a name", changed(inputs(name=""))
    yield "an unknown datatype", changed(inputs(datatype="FP31"))
    yield "a datatype of another kind", changed(inputs(datatype="FP32" if fields[0].datatype == "BYTES" else "BYTES"))
    yield "a negative shape", changed(inputs(shape=[-1, *row]))
    yield "a shape that the data do not have", changed(inputs(shape=[7, *row]))
    yield "no rows", infer_request(name, fields, {field.name: [] for field in fields})
    yield "raw tensors too few", changed(lambda request: request.raw_input_contents.pop())
    yield "raw bytes too many", changed(lambda request: _lengthen(request, b"123"))
    yield "an unknown output", changed(lambda request: request.outputs.add(name="no such output"))
    yield "a message beyond any limit", changed(lambda request: _lengthen(request, b" " * OVERSIZE_BYTES))
    yield from _values(name, fields, columns)


def _drop_all(request: Any) -> None:
    del request.inputs[:]
    del request.raw_input_contents[:]


def _drop_first(request: Any) -> None:
    if len(request.inputs) == 1:
        request.inputs[0].name = "another"
        return
    del request.inputs[0]
    del request.raw_input_contents[0]


def _lengthen(request: Any, more: bytes) -> None:
    request.raw_input_contents[0] += more


def _values(name: str, fields: Sequence[Field], columns: Columns) -> Iterator[tuple[str, Any]]:
    for field in fields:
        if not field.shape and field.datatype.startswith("FP"):
            yield "an infinite number", infer_request(name, fields, {**columns, field.name: [float("inf")]})
            break
    for index, field in enumerate(fields):
        if field.datatype == "BYTES":
            request = infer_request(name, fields, columns)
            request.raw_input_contents[index] = b"\x02\x00\x00\x00\xff\xfe"
            yield "a text that is not UTF-8", request
            break

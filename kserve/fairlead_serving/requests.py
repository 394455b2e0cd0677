"""Requests and answers as they are written: V1 and V2 over REST, and feedback.

V1  {"instances": [{field: value, …}, …]}; of a model of one image also {"instances": [{"b64": "…"}, …]}; of a model of
    nothing but numbers also {"instances": [[…], …]}, in the order of its inputs
V2  {"inputs": [{"name", "shape", "datatype", "data"}, …], "outputs"?, "id"?, "parameters"?}, where `data` may instead
    follow the JSON as raw bytes (`binary_data_size`, header Inference-Header-Content-Length)
feedback  {"request_id": …, "row": 0, "outcome": 0 or 1, or the class, or the number}
"""

import itertools
import os
import time
from collections.abc import Mapping
from typing import Any

import orjson

from fairlead_serving import matrix, tensors
from fairlead_serving.errors import RequestInvalidError
from fairlead_serving.fields import INT64, LARGEST, LONGEST_TEXT, Schema, shorten
from fairlead_serving.query import Answer, Query
from fairlead_serving.tensors import Tensor

LONGEST_ID = 128
V1_KEYS = frozenset({"instances"})
V2_KEYS = frozenset({"id", "inputs", "outputs", "parameters", "model_name", "model_version"})
FEEDBACK_KEYS = frozenset({"request_id", "row", "outcome"})


def read_json(body: bytes | memoryview, keys: frozenset[str], required: str = "") -> dict[str, Any]:
    """Reads a body that must be a JSON object.

    Args:
        body: The body.
        keys: The keys that the object may have.
        required: The one that it must have; none where empty.

    Returns:
        The object.

    Raises:
        RequestInvalidError: It is none.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestInvalidError(
            f"the body is no valid JSON: {error}; NaN and Infinity are no JSON: send null for an unknown value"
        ) from None
    if type(content) is not dict:
        raise RequestInvalidError(f"the body is {shorten(content)}; send an object with {required or min(keys)!r}")
    unknown = content.keys() - keys
    if unknown or (required and required not in content):
        what = f"has the unknown key {shorten(min(unknown))}" if unknown else f"lacks {required!r}"
        raise RequestInvalidError(f"the body {what}; its keys are {', '.join(sorted(keys))}")
    return content


def check_id(value: Any) -> str:
    """Checks the id of a request, which is written to the prediction log, and makes one where there is none.

    Raises:
        RequestInvalidError: It is too long or has characters other than printable ASCII.
    """
    if value is None or value == "":
        return make_id()
    if type(value) is str and len(value) <= LONGEST_ID and value.isascii() and value.isprintable():
        return value
    raise RequestInvalidError(
        f"the request's id is {shorten(value)}; send at most {LONGEST_ID} printable ASCII letters"
    )


_PROCESS, _NUMBERS = os.urandom(8).hex(), itertools.count()


def make_id() -> str:
    """Makes an id, 32 hexadecimal digits: 64 random bits of this process, and a number (a UUID would take 5 µs)."""
    return f"{_PROCESS}{next(_NUMBERS):016x}"


def read_v1(body: bytes, schema: Schema, request_id: str, maximum_rows: int) -> Query:
    """Reads a V1 request.

    Raises:
        RequestInvalidError: It does not fit the schema.
        TooLargeError: It has too many rows.
    """
    instances = read_json(body, V1_KEYS, "instances")["instances"]
    if type(instances) is not list:
        raise RequestInvalidError(f"'instances' is {shorten(instances)}; send an array of objects, one per row")
    rows = tensors.check_rows(len(instances), maximum_rows)
    if schema.matrix and type(instances[0]) is list:
        return Query("v1", request_id, matrix.read_instances(instances, schema), rows)
    if schema.only_image:
        instances = [_named(instance, schema.only_image) for instance in instances]
    for row, instance in enumerate(instances):
        if type(instance) is not dict:
            raise RequestInvalidError(f"instances[{row}] is {shorten(instance)}; send an object of field: value")
        if instance.keys() != schema.fields.keys():
            schema.check_names(instance, f"instances[{row}]")
    columns = {name: schema.read(name, [instance[name] for instance in instances]) for name in schema.fields}
    return Query("v1", request_id, columns, rows)


def _named(instance: Any, name: str) -> Any:
    """Gives an image that is an instance by itself its field's name."""
    alone = type(instance) in (str, list) or (type(instance) is dict and instance.keys() == {"b64"} and name != "b64")
    return {name: instance} if alone else instance


def read_v2(body: bytes, json_length: int | None, schema: Schema, request_id: str | None, maximum_rows: int) -> Query:
    """Reads a V2 request.

    Args:
        body: The body.
        json_length: The length of the JSON part where raw tensors follow it, else None.
        schema: The fields.
        request_id: The id that the request's header gave; else the body's `id` counts.
        maximum_rows: More rows are refused.

    Returns:
        The query.

    Raises:
        RequestInvalidError: It does not fit the schema.
        TooLargeError: It has too many rows.
    """
    head = len(body) if json_length is None else json_length
    if not 0 < head <= len(body):
        raise RequestInvalidError(f"Inference-Header-Content-Length is {head} but the body has {len(body)} bytes")
    content = read_json(memoryview(body)[:head], V2_KEYS, "inputs")
    inputs = _tensors(content["inputs"], memoryview(body)[head:])
    columns, rows = tensors.columns_of(inputs, schema, maximum_rows)
    binary = _parameters(content, "the request").get("binary_data_output") is True
    return Query("v2", request_id or check_id(content.get("id")), columns, rows, _wanted(content), binary)


def _tensors(inputs: Any, raw: memoryview) -> list[Tensor]:
    if type(inputs) is not list or not inputs:
        raise RequestInvalidError(f"'inputs' is {shorten(inputs)}; send an array with one tensor per field")
    found, offset = [], 0
    for entry in inputs:
        if type(entry) is not dict:
            raise RequestInvalidError(f"an input is {shorten(entry)}; send objects with name, shape, datatype and data")
        tensor, used = _tensor(entry, raw[offset:])
        found.append(tensor)
        offset += used
    if offset != len(raw):
        raise RequestInvalidError(
            f"{len(raw)} raw bytes follow the JSON, but the inputs' binary_data_size sum to {offset}"
        )
    return found


def _tensor(entry: Mapping[str, Any], raw: memoryview) -> tuple[Tensor, int]:
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    tensors.check_head(name, datatype, shape)
    size = _parameters(entry, f"input {name!r}").get("binary_data_size")
    if (size is None) == ("data" not in entry):
        raise RequestInvalidError(f"input {name!r} needs either 'data' or the parameter 'binary_data_size'")
    if size is None:
        return Tensor(str(name), str(datatype), shape or [], entry["data"]), 0
    if type(size) is not int or not 0 <= size <= len(raw):
        raise RequestInvalidError(f"input {name!r} has binary_data_size {shorten(size)}; {len(raw)} raw bytes are left")
    return Tensor(str(name), str(datatype), shape or [], tensors.read_raw(str(name), str(datatype), raw[:size])), size


def _parameters(entry: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    parameters = entry.get("parameters")
    if parameters is not None and type(parameters) is not dict:
        raise RequestInvalidError(f"the parameters of {where} are {shorten(parameters)}; send an object")
    return parameters or {}


def _wanted(content: Mapping[str, Any]) -> dict[str, bool | None] | None:
    outputs = content.get("outputs")
    if outputs is None or outputs == []:
        return None
    if type(outputs) is not list or any(type(o) is not dict or type(o.get("name")) is not str for o in outputs):
        raise RequestInvalidError(f"'outputs' is {shorten(outputs)}; send an array of objects with a name")
    return {o["name"]: _parameters(o, f"output {o['name']!r}").get("binary_data") for o in outputs}


def read_feedback(body: bytes, task: str = "binary") -> dict[str, Any]:
    """Reads the outcome of an earlier prediction, as it goes into the feedback log.

    Args:
        body: The body.
        task: The model's; it says what an outcome is.

    Returns:
        request_id, row, outcome (0 or 1; a class as text; or a number) and time (seconds since 1970).

    Raises:
        RequestInvalidError: A key is lacking, unknown or of a wrong kind.
    """
    content = read_json(body, FEEDBACK_KEYS, "request_id")
    request_id, row, outcome = content["request_id"], content.get("row", 0), content.get("outcome")
    if type(request_id) is not str or not request_id:
        raise RequestInvalidError(f"'request_id' is {shorten(request_id)}; send the x-request-id of the prediction")
    if type(row) is not int or not 0 <= row < INT64:
        raise RequestInvalidError(f"'row' is {shorten(row)}; send the row's number within its request, from 0")
    found = _outcome(outcome, task)
    return {"request_id": check_id(request_id), "row": row, "outcome": found, "time": time.time()}


def _outcome(outcome: Any, task: str) -> int | float | str:
    """Reads an outcome; a class that training did not know is one too."""
    kind = type(outcome)
    if task == "binary":
        if kind in (int, bool) and outcome in (0, 1):
            return int(outcome)
        raise RequestInvalidError(f"'outcome' is {shorten(outcome)}; send 0 or 1")
    if task == "multiclass":
        if kind in (str, int) and 0 < len(str(outcome)) <= LONGEST_TEXT:
            return str(outcome)
        raise RequestInvalidError(f"'outcome' is {shorten(outcome)}; send the class, as a string or a whole number")
    if kind in (int, float) and -LARGEST <= outcome <= LARGEST:
        return float(outcome)
    raise RequestInvalidError(f"'outcome' is {shorten(outcome)}; send a number")


def write_v1(answer: Answer) -> bytes:
    """Writes the answer to a V1 request: {"predictions": [{output: value, …}, …]}."""
    names, columns = list(answer.outputs), [values.tolist() for values in answer.outputs.values()]
    return orjson.dumps({"predictions": [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]})


def write_v2(answer: Answer, model: str, version: str) -> tuple[bytes, int | None]:
    """Writes the answer to a V2 request.

    Returns:
        The body, and the length of its JSON part where raw tensors follow it, else None.
    """
    outputs, raw = [], []
    for name, values in answer.outputs.items():
        asked = (answer.query.wanted or {}).get(name)
        output: dict[str, Any] = {"name": name, "shape": list(values.shape), "datatype": tensors.datatype_of(values)}
        if asked is True or (asked is None and answer.query.binary):
            raw.append(tensors.write_raw(values))
            output["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            output["data"] = values.ravel().tolist()
        outputs.append(output)
    content = {"model_name": model, "model_version": version, "id": answer.query.request_id, "outputs": outputs}
    head = orjson.dumps(content)
    return (b"".join([head, *raw]), len(head)) if raw else (head, None)

"""Holds what goes over the wire to the models that Kubeflow Pipelines' own client generates from its API."""

import json
import re
from datetime import datetime
from email import message_from_bytes
from typing import Any

import kfp_server_api
from kfp_store import RefusedError

_LIST = re.compile(r"^list\[(.+)\]$")
_DICT = re.compile(r"^dict\(([^,]+), (.+)\)$")
_PLAIN = {"str": str, "int": int, "bool": bool, "float": float}


class ModelError(AssertionError):
    """A message is not as the API's model says."""


def hold(model: str, content: Any, where: str = "") -> Any:
    """Checks a message: no field that the model does not have, every value of its type.

    Args:
        model: The model's name, such as `V2beta1Run`, or a type as the generated models write them.
        content: The message, as JSON has it.
        where: The field's place, for messages.

    Returns:
        The message.

    Raises:
        ModelError: It is otherwise.
    """
    found = _LIST.match(model)
    if found:
        _demand(isinstance(content, list), where, model, content)
        for number, item in enumerate(content):
            hold(found[1], item, f"{where}[{number}]")
        return content
    found = _DICT.match(model)
    if found:
        _demand(isinstance(content, dict), where, model, content)
        for name, item in content.items():
            hold(found[2], item, f"{where}.{name}")
        return content
    if model in _PLAIN:
        _demand(isinstance(content, _PLAIN[model]), where, model, content)
    elif model == "datetime":
        _demand(isinstance(content, str), where, model, content)
        datetime.fromisoformat(content)
    elif model != "object":
        _hold_model(getattr(kfp_server_api, model), content, where or model)
    return content


def _hold_model(model: Any, content: Any, where: str) -> None:
    allowed = getattr(model, "allowable_values", None)
    if allowed is not None:
        _demand(content in allowed, where, f"one of {allowed}", content)
        return
    _demand(isinstance(content, dict), where, model.__name__, content)
    types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    unknown = sorted(set(content) - set(types))
    if unknown:
        raise ModelError(f"{where}: {model.__name__} has no field {unknown}; it has {sorted(types)}")
    for name, value in content.items():
        if value is not None:
            hold(types[name], value, f"{where}.{name}")


def _demand(condition: bool, where: str, model: str, content: Any) -> None:
    if not condition:
        raise ModelError(f"{where}: {content!r} is no {model}")


def uploaded(headers: Any, body: bytes) -> bytes:
    """The file of a multipart upload."""
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    for part in message_from_bytes(head + body).get_payload():
        assert not isinstance(part, str)
        if part.get_param("name", header="content-disposition") == "uploadfile":
            assert str(part.get_filename()).endswith((".yaml", ".yml")), part.get_filename()
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            return content
    raise RefusedError(3, "Failed to read pipeline from file")


def refusal(error: RefusedError) -> bytes:
    """An error as the gateway sends it."""
    details = [{"@type": "type.googleapis.com/google.rpc.Status", "code": error.code, "message": error.message}]
    message = f"Failed to serve the request: {error.message}"
    hold("GoogleRpcStatus", {"code": error.code, "message": message, "details": []})
    return json.dumps({"code": error.code, "message": message, "details": details}).encode()

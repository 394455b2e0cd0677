"""What Kubeflow Pipelines answers when it refuses, told so that one can act on it."""

import json
import ssl
from typing import Any

import urllib3
from kfp_server_api.exceptions import ApiException

from fairlead.errors import PlatformError

NOT_FOUND = 404
CONFLICT = 409
_OF_SERVER = 500
_LONGEST = 600  # characters of what the server said
_WHAT_TO_DO = {
    400: "the server takes neither the package nor these values as they are; its message says which",
    401: "FAIRLEAD_KFP_TOKEN_FILE names the file with your bearer token; is it there, of this server, and not expired?",
    403: "you may not do this in that namespace: FAIRLEAD_KFP_NAMESPACE is your profile's; its owner adds contributors",
    404: "it was deleted, or belongs to another Kubeflow Pipelines (FAIRLEAD_KFP_URI)",
    409: "there is one of that name already",
    413: "a proxy before the server takes no package of this size; ask who runs it, or upload past it (port-forward)",
    429: "the server has too much to do; try again later",
}


class ServerError(PlatformError):
    """Kubeflow Pipelines refused a request, or gave no answer.

    Attributes:
        status: The HTTP status; 0 where there was no answer.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


def refused(error: ApiException, what: str, uri: str) -> ServerError:
    """What a server's refusal means.

    Args:
        error: What the client raised.
        what: What was asked for: `uploading the package`.
        uri: The server.
    """
    status = int(error.status or 0)
    if not status:
        return ServerError(f"{what}: {uri} could not be talked to: {error.reason}; {_tls_hint(str(error.reason))}")
    if 300 <= status < 400:  # noqa: PLR2004 - redirections
        target = dict(error.headers or {}).get("Location", "a page")
        text = f"it sends us to {target}, as a login does; {_WHAT_TO_DO[401]}"
        return ServerError(f"{what}: {uri} answers {status}: {text}", status)
    said = message_of(error.body) or str(error.reason or "no message")
    hint = _WHAT_TO_DO.get(status, "")
    if status >= _OF_SERVER:
        hint = (
            "the server failed, also when asked again; `kubectl logs deployment/ml-pipeline` (where KFP runs) says why"
        )
    return ServerError(f"{what}: {uri} answers {status}: {said}{f'; {hint}' if hint else ''}", status)


def unreachable(error: urllib3.exceptions.HTTPError, what: str, uri: str) -> ServerError:
    """What it means that a server gave no whole answer.

    Args:
        error: What urllib3 raised.
        what: What was asked for.
        uri: The server.
    """
    cause: Any = getattr(error, "reason", None) or error
    if isinstance(cause, urllib3.exceptions.SSLError | ssl.SSLError):
        return ServerError(f"{what}: {uri} could not be trusted: {cause}; {_tls_hint(str(cause))}")
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return ServerError(f"{what}: nobody knows the host of {uri}; correct FAIRLEAD_KFP_URI (or --kfp)")
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return ServerError(
            f"{what}: nothing listens at {uri}; correct FAIRLEAD_KFP_URI (or --kfp), or start "
            "`kubectl port-forward --namespace kubeflow service/ml-pipeline-ui 8888:80`"
        )
    if isinstance(cause, urllib3.exceptions.ConnectTimeoutError | urllib3.exceptions.ReadTimeoutError):
        return ServerError(
            f"{what}: {uri} gave no answer in time; is it behind a firewall, or overloaded? Try again later"
        )
    return ServerError(f"{what}: the connection to {uri} was cut ({cause}); try again")


def message_of(body: Any) -> str:
    """What a server says in an answer's body: the text for users, in whichever of its forms it came."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        content = json.loads(text)
    except ValueError:
        return " ".join(text.split())[:_LONGEST]
    if not isinstance(content, dict):
        return text[:_LONGEST]
    for_users = [d.get("message", "") for d in content.get("details") or [] if isinstance(d, dict)]
    whole = content.get("message") or content.get("error_message") or content.get("error") or text
    said = next((detail for detail in for_users if detail and detail not in str(whole)), "")
    return (f"{said}: {whole}" if said else str(whole))[:_LONGEST]


def is_transient(error: ServerError) -> bool:
    """Whether asking again may help: no answer, or a failure of the server's own."""
    return error.status in {0, 429, 502, 503, 504} or error.status == _OF_SERVER


def _tls_hint(cause: str) -> str:
    if "wrong version number" in cause.lower() or "record layer" in cause.lower():
        return "it speaks plain HTTP; write http:// in FAIRLEAD_KFP_URI"
    return "FAIRLEAD_KFP_CA_FILE names the certificate (PEM) of who signed the server's, and the host must be in that"

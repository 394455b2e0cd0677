"""The V2 repository API and model metadata over REST.

    POST /v2/repository/index                    [{"name", "version", "state", "reason"}, …]; {"ready": true} asks
                                                 for ready models only
    POST /v2/repository/models/{name}/load       {"parameters": {"digest": "sha256:…"}}
    POST /v2/repository/models/{name}/unload     the same, optional: unloads only that digest

Loading and unloading is for servers that were started with --repository; only packages in that folder can be loaded,
and only by their digest. There are no paths and no addresses in these requests.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from fairlead_serving.body import read_body
from fairlead_serving.errors import NotServedError, RequestInvalidError, UnavailableError
from fairlead_serving.exchange import JSON, Exchange, Result
from fairlead_serving.fields import shorten
from fairlead_serving.handlers import Limits
from fairlead_serving.requests import read_json

if TYPE_CHECKING:
    from fairlead_serving.model import FairleadModel
    from fairlead_serving.models import Models

PATH = re.compile(r"/v2/repository/models/([^/]{1,200})/(load|unload)")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
BODY_BYTES = 65536
PLATFORM = "onnx_onnxruntime"


class RepositoryApi:
    """Answers the repository API.

    Args:
        models: The models of the process.
        limits: What requests may cost.
    """

    def __init__(self, models: "Models", limits: Limits) -> None:
        self._models, self._limits = models, limits

    def find(self, path: str) -> Callable[[Exchange], Awaitable[Result]] | None:
        """Who answers a POST to a path; None where it is not of this API.

        Raises:
            NotServedError: The name could be no model's.
        """
        if path == "/v2/repository/index":
            return self._index
        match = PATH.fullmatch(path)
        if match is None:
            return None
        name, verb = match.groups()
        if not NAME.fullmatch(name):
            raise NotServedError(f"no model {name[:80]!r}: use letters, digits, dots, dashes and underscores")
        work = self._load if verb == "load" else self._unload

        async def answer(exchange: Exchange) -> Result:
            return await work(exchange, name)

        return answer

    async def describe(self, exchange: Exchange) -> Result:
        """Answers with the metadata of the model that the path names."""
        if exchange.named is None:
            raise NotServedError("the path names no model")
        return orjson.dumps(metadata(exchange.named)), JSON

    async def _index(self, exchange: Exchange) -> Result:
        only_ready = (await self._read(exchange, frozenset({"ready"}))).get("ready", False)
        states = [state for state in self._models.index() if state.state == "READY" or not only_ready]
        return orjson.dumps(states), JSON

    async def _load(self, exchange: Exchange, name: str) -> Result:
        digest = _digest(await self._read(exchange, frozenset({"parameters"})))
        if digest is None and self._models.repository is not None:
            raise RequestInvalidError('say which package: {"parameters": {"digest": "sha256:…"}}')
        model = await self._models.load_from_repository(name, digest or "")
        return orjson.dumps({"name": model.name, "version": model.version, "digest": model.package.digest}), JSON

    async def _unload(self, exchange: Exchange, name: str) -> Result:
        self._models.unload(name, _digest(await self._read(exchange, frozenset({"parameters"}))))
        return orjson.dumps({"name": name}), JSON

    async def _read(self, exchange: Exchange, keys: frozenset[str]) -> Mapping[str, Any]:
        body = await read_body(exchange.receive, exchange.headers, BODY_BYTES, self._limits.body_seconds, exchange.held)
        return read_json(body, keys) if body else {}


def metadata(model: "FairleadModel") -> dict[str, Any]:
    """A model's metadata in the words of V2: its fields and outputs, its version, its digest.

    Raises:
        UnavailableError: Its fields are not known before it is loaded.
    """
    if not model.ready:
        raise UnavailableError(f"model {model.name!r} is being loaded")
    return {
        "name": model.name, "versions": [model.version], "platform": PLATFORM, "inputs": model.get_input_types(),
        "outputs": model.get_output_types(),
        "properties": {"digest": model.package.digest, "task": model.package.manifest.task},
    }  # fmt: skip


def check_load(name: str, digest: str) -> None:
    """Checks what a gRPC request wants to have loaded: its model name is NAME@DIGEST.

    Raises:
        RequestInvalidError: It is another text.
    """
    if not NAME.fullmatch(name) or not DIGEST.fullmatch(digest):
        raise RequestInvalidError("say which package, as the model name NAME@sha256:… with 64 hexadecimal digits")


def _digest(content: Mapping[str, Any]) -> str | None:
    parameters = content.get("parameters")
    if parameters is not None and type(parameters) is not dict:
        raise RequestInvalidError(f"'parameters' is {shorten(parameters)}; send an object with 'digest'")
    digest = (parameters or {}).get("digest")
    if digest is not None and (type(digest) is not str or not DIGEST.fullmatch(digest)):
        raise RequestInvalidError(f"the digest is {shorten(digest)}; give sha256: and 64 hexadecimal digits")
    return digest

"""Kubeflow Model Registry's HTTP API, by the models that its own client brings, from code that is not asynchronous.

`model_registry.ModelRegistry` is not used: it patches the process's event loop, warns where there is no token, opens a
connection for each request, and has no words for external ids, by which the registry finds what another process made.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from fairlead.errors import ConfigurationError, StateError, nearest

if TYPE_CHECKING:
    from mr_openapi import ModelRegistryServiceApi

_PAGE = "100"
_SECONDS = 30.0
_RETRIES = 3  # of reads alone: a write that got no answer may have been done
_OPTIONS = ("ca", "author")
_EXAMPLE = "model-registry+https://host:443?ca=/path/to/ca.pem&author=name"


@dataclass(frozen=True)
class Address:
    """Where a Kubeflow Model Registry is.

    Attributes:
        host: Scheme, host and port.
        ca: The file of certificates to trust; the system's where it is empty.
        author: Who registers, as its pages show it.
    """

    host: str
    ca: str = ""
    author: str = "fairlead"

    @classmethod
    def parse(cls, uri: str) -> "Address":
        """Reads the part of `registry_uri` behind `model-registry+`.

        Raises:
            ConfigurationError: It is no such address, or holds what must not be in one.
        """
        try:
            parts, port = urlsplit(uri), urlsplit(uri).port
        except ValueError as error:
            raise ConfigurationError(f"registry_uri cannot be read ({error}); write it as {_EXAMPLE}") from None
        if parts.username or parts.password:
            raise ConfigurationError(
                "registry_uri holds a user or password, which logs would show; take it out and set "
                "FAIRLEAD_REGISTRY_TOKEN or FAIRLEAD_REGISTRY_TOKEN_FILE"
            )
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(f"registry_uri names no host by http or https; write it as {_EXAMPLE}")
        options = dict(parse_qsl(parts.query))
        for option in options:
            if option not in _OPTIONS:
                raise ConfigurationError(f"registry_uri has no option {option!r}; {nearest(option, _OPTIONS)}")
        named = parts.hostname if ":" not in parts.hostname else f"[{parts.hostname}]"
        return cls(f"{parts.scheme}://{named}{f':{port}' if port else ''}{parts.path.rstrip('/')}", **options)


class Session:
    """A connection: calls of the API by name, whose failures are told in our words.

    Args:
        address: Where to.
        api: The client's API.
        run: Waits for a coroutine.
    """

    def __init__(self, address: Address, api: "ModelRegistryServiceApi", run: Callable[[Any], Any]) -> None:
        self._address, self._api, self._run = address, api, run

    def call(self, verb: str, *arguments: Any, **options: Any) -> Any:
        """Calls the API, such as `call("get_registered_model", "1")`.

        Raises:
            StateError: The server is out of reach, refuses, or answers what it may not.
        """
        from mr_openapi.exceptions import ApiException

        try:
            return self._try(verb, *arguments, **options)
        except ApiException as error:
            raise StateError(_refusal(self._address, error)) from None

    def create(self, verb: str, *arguments: Any) -> Any | None:
        """Calls a verb that makes something; None where it is there already.

        Raises:
            StateError: As for `call`.
        """
        from mr_openapi.exceptions import ApiException, ConflictException

        try:
            return self._try(verb, *arguments)
        except ConflictException:
            return None
        except ApiException as error:
            raise StateError(_refusal(self._address, error)) from None

    def find(self, what: str, **by: str) -> Any | None:
        """Finds one entity, such as `find("model_version", external_id=…)`; None where there is none.

        Raises:
            StateError: As for `call`.
        """
        from mr_openapi.exceptions import ApiException, NotFoundException

        try:
            found = self._try(f"find_{what}", **by)
        except NotFoundException:
            return None
        except ApiException as error:
            raise StateError(_refusal(self._address, error)) from None
        return getattr(found, "actual_instance", None) or found

    def every(self, verb: str, *arguments: Any, **options: Any) -> Iterator[Any]:
        """The items of all pages of a list.

        Raises:
            StateError: As for `call`.
        """
        token: dict[str, str] = {}
        while True:
            page = self.call(verb, *arguments, **options, **token, page_size=_PAGE)
            for item in page.items or ():
                yield getattr(item, "actual_instance", None) or item
            if not page.next_page_token:
                return
            token = {"next_page_token": page.next_page_token}

    def _try(self, verb: str, *arguments: Any, **options: Any) -> Any:
        import aiohttp
        from pydantic import ValidationError

        try:
            return self._run(getattr(self._api, verb)(*arguments, **options, _request_timeout=_SECONDS))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StateError(
                f"the registry {self._address.host} is out of reach ({type(error).__name__}: {error}); see that it "
                "runs and that FAIRLEAD_REGISTRY_URI is its address"
            ) from None
        except (ValidationError, ValueError) as error:
            told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise StateError(
                f"the registry {self._address.host} answers otherwise than Kubeflow Model Registry does ({told}); see "
                "that FAIRLEAD_REGISTRY_URI is its address"
            ) from None


@contextmanager
def connected(address: Address, token: Callable[[], str]) -> Iterator[Session]:
    """Opens a connection.

    Args:
        address: Where to.
        token: Gives what the server demands; empty for none.

    Yields:
        The connection.

    Raises:
        ConfigurationError: The certificates cannot be read.
    """
    from mr_openapi import ApiClient, Configuration, ModelRegistryServiceApi

    runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
    # a thread of its own: in a notebook, this one runs an event loop already, which cannot be waited in
    with ThreadPoolExecutor(1) as thread:

        def run(coroutine: Any) -> Any:
            return thread.submit(runner.run, coroutine).result()

        try:
            configuration = Configuration(
                host=address.host, access_token=token() or None, ssl_ca_cert=address.ca or None, retries=_RETRIES
            )
            client = ApiClient(configuration)
        except OSError as error:
            raise ConfigurationError(f"registry_uri: {address.ca} holds no certificates ({error})") from None
        try:
            yield Session(address, ModelRegistryServiceApi(client), run)
        finally:
            run(client.close())
            thread.submit(runner.close).result()


def _refusal(address: Address, error: Any) -> str:
    """What a refusal means; never with headers, which hold the token."""
    told = getattr(error.data, "message", "") or error.reason or "no reason given"
    advice = {
        401: "set FAIRLEAD_REGISTRY_TOKEN or FAIRLEAD_REGISTRY_TOKEN_FILE to a token that it takes",
        403: "the token's owner may not do this; ask for the right to",
        404: "see that FAIRLEAD_REGISTRY_URI is the address of a Kubeflow Model Registry with API v1",
    }
    return f"the registry {address.host} answered {error.status}: {told}; {advice.get(error.status, 'see its log')}"

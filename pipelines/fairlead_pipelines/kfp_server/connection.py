"""A connection to a Kubeflow Pipelines, through the API client that it generates itself."""

import json
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import kfp_server_api as api
import urllib3
from kfp_server_api.exceptions import ApiException

from fairlead.errors import ConfigurationError
from fairlead.settings import Settings
from fairlead_pipelines.kfp_server.errors import NOT_FOUND, ServerError, is_transient, refused, unreachable

_SECONDS = (10.0, 60.0)  # to connect, to answer
_WAITS = (0.5, 2.0, 5.0)  # seconds before the second, third and fourth try


class Server:
    """A Kubeflow Pipelines (version 2).

    Its address is that of its API (ml-pipeline) or, better, of its UI (ml-pipeline-ui), which hands artifacts and
    figures over too.

    Args:
        place: The settings: address, namespace, token, certificates.

    Raises:
        ConfigurationError: No address is set, or a file that the settings name cannot be read.
    """

    def __init__(self, place: Settings) -> None:
        if not place.kfp_uri:
            raise ConfigurationError(
                "there is no address of Kubeflow Pipelines; set FAIRLEAD_KFP_URI (kfp_uri in fairlead.toml) or --kfp, "
                "for example after `kubectl port-forward --namespace kubeflow service/ml-pipeline-ui 8888:80` to "
                "http://127.0.0.1:8888"
            )
        if place.kfp_ca_file and not place.kfp_ca_file.is_file():
            raise ConfigurationError(f"setting kfp_ca_file: there is no file {place.kfp_ca_file}")
        self.uri = place.kfp_uri.rstrip("/")
        self.namespace = place.kfp_namespace or None
        self._place = place
        client = api.ApiClient(self._configuration())
        self.client = client
        self.pipelines = api.PipelineServiceApi(client)
        self.uploads = api.PipelineUploadServiceApi(client)
        self.experiments = api.ExperimentServiceApi(client)
        self.runs = api.RunServiceApi(client)
        self.recurring = api.RecurringRunServiceApi(client)

    @property
    def scope(self) -> dict[str, Any]:
        """The namespace as listings want it: nothing on a server of one user."""
        return {"namespace": self.namespace} if self.namespace else {}

    def ask(self, what: str, call: Callable[..., Any], *values: Any, again: bool = True, **options: Any) -> Any:
        """Calls the API.

        Args:
            what: What for, for messages: `looking for the pipeline`.
            call: The generated client's method.
            *values: Its arguments.
            again: Try again where that may help; only for what does no harm when it is done twice.
            **options: Its keyword arguments.

        Returns:
            What it returns.

        Raises:
            ServerError: The server refuses, or gives no whole answer.
        """
        for wait in (*(_WAITS if again else ()), None):
            try:
                return self._once(what, call, *values, **options)
            except ServerError as error:
                if wait is None or not is_transient(error):
                    raise
            time.sleep(wait)
        raise AssertionError("unreachable")  # the last try returns or raises

    def get(self, what: str, path: str, query: dict[str, str] | None = None) -> bytes:
        """Fetches what the generated client knows nothing of.

        Args:
            what: What for, for messages.
            path: The path below the server's address.
            query: Parameters.

        Returns:
            The answer's body.

        Raises:
            ServerError: The server refuses, or gives no whole answer.
        """
        return bytes(self.ask(what, self._request, "GET", path, query or {}).data)

    def post(self, what: str, path: str, body: bytes, kind: str) -> tuple[bytes, dict[str, str]]:
        """Sends bytes and fetches the answer and its headers; for reading calls only, which are repeated."""
        answer = self.ask(what, self._request, "POST", path, {}, body=body, kind=kind)
        return bytes(answer.data), {name.lower(): value for name, value in answer.headers.items()}

    @cached_property
    def health(self) -> dict[str, Any]:
        """What the server says of itself: `multi_user`, and in newer versions `tag_name` and `pipeline_store`.

        Raises:
            ServerError: There is no Kubeflow Pipelines 2 at the address.
        """
        what = "reaching Kubeflow Pipelines"
        try:
            content = self.get(what, "/apis/v2beta1/healthz")
        except ServerError as error:
            if error.status == NOT_FOUND:
                raise self._other(what) from None
            raise
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServerError(
                f"{what}: {self.uri} answers with a page, not with its health; the address is wrong (is it "
                f"{self.uri}/pipeline?), or a login stands before it: FAIRLEAD_KFP_TOKEN_FILE names the file "
                "with your bearer token"
            )
        return found

    def check(self) -> None:
        """Makes sure that a Kubeflow Pipelines 2 answers, and that a namespace is set where it has several users.

        Raises:
            ServerError: There is none at the address.
            ConfigurationError: The namespace is missing.
        """
        if self.health.get("multi_user") and not self.namespace:
            raise ConfigurationError(
                f"{self.uri} has several users, so it must know whose namespace is meant; set FAIRLEAD_KFP_NAMESPACE "
                "to your profile's"
            )

    def _other(self, what: str) -> ServerError:
        """What answers in place of Kubeflow Pipelines 2."""
        try:
            json.loads(self.get(what, "/apis/v1beta1/healthz"))
        except (ServerError, ValueError):
            return ServerError(
                f"{what}: there is none at {self.uri} (it knows no /apis/v2beta1); correct FAIRLEAD_KFP_URI (or "
                "--kfp): behind Kubeflow's dashboard it is https://HOST/pipeline",
                NOT_FOUND,
            )
        return ServerError(
            f"{what}: {self.uri} is Kubeflow Pipelines 1; packages of KFP 2 need 2.0 or newer", NOT_FOUND
        )

    def _once(self, what: str, call: Callable[..., Any], *values: Any, **options: Any) -> Any:
        try:
            return call(*values, _request_timeout=_SECONDS, **options)
        except ApiException as error:
            raise refused(error, what, self.uri) from None
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(error, what, self.uri) from None

    def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        *,
        body: bytes | None = None,
        kind: str = "",
        **options: Any,
    ) -> Any:
        """One request by the client's own pool of connections, with the token."""
        headers = {"Content-Type": kind, "X-Grpc-Web": "1"} if kind else {}
        token = self._token()
        if token:
            headers["authorization"] = f"Bearer {token}"
        timeout = urllib3.Timeout(connect=options["_request_timeout"][0], read=options["_request_timeout"][1])
        pool = self.client.rest_client.pool_manager
        fields = {"fields": query} if query else {}
        answer = pool.request(method, f"{self.uri}{path}", headers=headers, timeout=timeout, body=body, **fields)
        if not 200 <= answer.status <= 299:  # noqa: PLR2004 - success
            raise ApiException(http_resp=_Answer(answer))
        return answer

    def _configuration(self) -> Any:
        configuration = api.Configuration()
        configuration.host = self.uri
        configuration.retries = urllib3.Retry(0, redirect=0, raise_on_redirect=False)  # `ask` repeats, where it may
        if self._place.kfp_ca_file:
            configuration.ssl_ca_cert = str(self._place.kfp_ca_file)
        if self._place.kfp_token_file:
            configuration.api_key = {"authorization": "read anew for each request"}
            configuration.api_key_prefix = {"authorization": "Bearer"}
            configuration.refresh_api_key_hook = lambda c: c.api_key.update(authorization=self._token())
        return configuration

    def _token(self) -> str:
        """The token as it is now: Kubernetes replaces such files."""
        file = self._place.kfp_token_file
        if not file:
            return ""
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"setting kfp_token_file: {error}; name the file that holds the token") from None
        if not token.isascii() or len(token.split()) != 1:
            raise ConfigurationError(f"setting kfp_token_file: {file} does not hold one token alone")
        return token


class _Answer:
    """An answer as the generated client's error wants it."""

    def __init__(self, answer: Any) -> None:
        self.status, self.reason, self.data = answer.status, answer.reason, answer.data
        self._headers = dict(answer.headers)

    def getheaders(self) -> dict[str, str]:
        """The headers."""
        return self._headers

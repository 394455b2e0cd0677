"""The Kubernetes API, as far as fairlead needs it: manifests in, manifests out, errors that say what to do.

The official client does connection, credentials and TLS. Its typed models are left aside: half of the kinds here are
custom resources, and one way for all kinds is easier to follow than two.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow.kinds import EVENT, POD, Kind, kind_of

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from fairlead.settings import Settings

FIELD_MANAGER = "fairlead"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_SECONDS = (10.0, 60.0)  # to connect, to answer
_PAGE = 500
_APPLY, _MERGE, _JSON = "application/apply-patch+yaml", "application/merge-patch+json", "application/json"
_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409
_REVIEW = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
logger = logging.getLogger(__name__)

Manifest = dict[str, Any]


class RefusedError(PlatformError):
    """The API server does not let this user do it (403), or an admission webhook refused the object."""


class NotServedError(PlatformError):
    """The object, or its whole kind, is not there (404)."""


class ConflictError(PlatformError):
    """Somebody else changed the object in the meantime (409)."""


class AlreadyExistsError(ConflictError):
    """There is an object of that name already (409)."""


class Cluster:
    """One cluster, seen by one user, with a namespace to work in.

    Args:
        client: The official client.
        namespace: The namespace that is meant where none is given.
        where: What users know the cluster by, for errors.
    """

    def __init__(self, client: "ApiClient", namespace: str, where: str) -> None:
        self._client, self.namespace, self.where = client, namespace, where

    @classmethod
    def connect(cls, place: "Settings") -> "Cluster":
        """Connects as a pod's service account inside a cluster, or by the kubeconfig elsewhere.

        Args:
            place: The settings: `namespace`, `kube_context`.

        Raises:
            PlatformError: There is neither, or the kubeconfig cannot be used.
        """
        import urllib3
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException

        configuration = client.Configuration()
        configuration.retries = urllib3.Retry(
            total=4, backoff_factor=0.3, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False,
            allowed_methods=("GET", "PATCH", "PUT", "DELETE"),
        )  # fmt: skip
        inside = "KUBERNETES_SERVICE_HOST" in os.environ and not place.kube_context and "KUBECONFIG" not in os.environ
        try:
            if inside:
                config.load_incluster_config(client_configuration=configuration)
                own = (_SERVICE_ACCOUNT / "namespace").read_text().strip()
            else:
                config.load_kube_config(
                    config_file=os.environ.get("KUBECONFIG"), context=place.kube_context or None,
                    client_configuration=configuration,
                )  # fmt: skip  # by itself the client looks at KUBECONFIG only when it is imported
                own = _context_namespace(place.kube_context)
        except (ConfigException, OSError, ValueError, KeyError) as error:
            raise PlatformError(
                f"no Kubernetes cluster can be reached: {error}; set KUBECONFIG, or the setting kube_context to one of "
                f"`kubectl config get-contexts`"
            ) from None
        return cls(client.ApiClient(configuration), place.namespace or own, configuration.host)

    def get(self, kind: Kind, name: str, namespace: str = "") -> Manifest | None:
        """Reads an object; None where it, or its kind, is not there."""
        try:
            return self._json("GET", kind.path(namespace or self.namespace, name))
        except NotServedError:
            return None

    def list(self, kind: Kind, labels: Mapping[str, str] | None = None, namespace: str = "") -> list[Manifest]:
        """Reads all objects of a kind in a namespace (`*`: in all of them) that carry the labels.

        Raises:
            NotServedError: The cluster does not have this kind.
        """
        space = "" if namespace == "*" else namespace or self.namespace
        query = {"labelSelector": ",".join(f"{k}={v}" for k, v in (labels or {}).items()), "limit": _PAGE}
        found: list[Manifest] = []
        while True:
            page = self._json("GET", kind.path(space), query=query)
            found += page.get("items", [])
            query["continue"] = page.get("metadata", {}).get("continue", "")
            if not query["continue"]:
                return found

    def apply(self, manifest: Mapping[str, Any]) -> Manifest:
        """Applies what fairlead wants of an object on the server's side; what others own in it stays theirs."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self._json("PATCH", self._path(manifest), query=query, body=manifest, content=_APPLY)

    def create(self, manifest: Mapping[str, Any]) -> Manifest:
        """Creates an object.

        Raises:
            AlreadyExistsError: There is one of that name.
        """
        path = self._path(manifest, named=False)
        return self._json("POST", path, query={"fieldManager": FIELD_MANAGER}, body=manifest)

    def replace(self, manifest: Mapping[str, Any]) -> Manifest:
        """Replaces an object by one that was read and changed.

        Raises:
            ConflictError: Somebody else changed it after it was read.
        """
        return self._json("PUT", self._path(manifest), query={"fieldManager": FIELD_MANAGER}, body=manifest)

    def patch(self, kind: Kind, name: str, change: Mapping[str, Any], namespace: str = "") -> Manifest:
        """Merges a change into an object; None removes a key."""
        path = kind.path(namespace or self.namespace, name)
        return self._json("PATCH", path, query={"fieldManager": FIELD_MANAGER}, body=change, content=_MERGE)

    def delete(
        self, kind: Kind, name: str, namespace: str = "", *, missing_ok: bool = True, grace_seconds: int | None = None
    ) -> None:
        """Deletes an object, and what it owns in the background.

        Raises:
            NotServedError: It is not there, and that is not all right.
        """
        options: Manifest = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            self._json("DELETE", kind.path(namespace or self.namespace, name), body=options)
        except NotServedError:
            if not missing_ok:
                raise

    def events(self, kind: str, name: str, namespace: str = "") -> Sequence[str]:
        """What the cluster noted of an object, the newest last: `REASON: message`."""
        selector = f"involvedObject.kind={kind},involvedObject.name={name}"
        path = EVENT.path(namespace or self.namespace)
        items = self._json("GET", path, query={"fieldSelector": selector})["items"]
        items.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
        return [f"{event.get('reason', '?')}: {event.get('message', '').strip()}" for event in items]

    def logs(
        self, pod: str, container: str = "", lines: int = 20, namespace: str = "", *, previous: bool = False
    ) -> str:
        """The last lines that a container wrote; empty where there are none (yet)."""
        query = {
            "tailLines": lines,
            "previous": str(previous).lower(),
            **({"container": container} if container else {}),
        }
        try:
            return self._text("GET", POD.path(namespace or self.namespace, pod, "log"), query=query)
        except RefusedError:
            raise
        except PlatformError as error:  # the container has not started, or is gone
            logger.debug("no log of %s: %s", pod, error)
            return ""

    def proxy(self, pod: str, port: int, path: str, namespace: str = "") -> str:
        """What a pod answers to a GET, asked through the API server: works from outside the cluster too."""
        return self._text("GET", POD.path(namespace or self.namespace, f"{pod}:{port}", f"proxy/{path.lstrip('/')}"))

    def has(self, kind: Kind) -> bool:
        """Whether this cluster serves a kind."""
        try:
            resources = self._json("GET", kind.root)["resources"]
        except NotServedError:
            return False
        return any(resource["name"] == kind.plural for resource in resources)

    def may(self, verb: str, kind: Kind, name: str = "", namespace: str = "", subresource: str = "") -> bool:
        """Whether this user may do something."""
        asked = {
            "verb": verb, "group": kind.group, "resource": kind.plural, "name": name, "subresource": subresource,
            "namespace": (namespace or self.namespace) if kind.namespaced else "",
        }  # fmt: skip
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        review = self._json("POST", path, body=_REVIEW | {"spec": {"resourceAttributes": asked}})
        return bool(review["status"].get("allowed"))

    def read(self, path: str) -> Manifest:
        """What the API server answers to a GET of any path of its own, such as `/version`."""
        return self._json("GET", path)

    def _path(self, manifest: Mapping[str, Any], *, named: bool = True) -> str:
        kind, metadata = kind_of(manifest), manifest["metadata"]
        return kind.path(metadata.get("namespace") or self.namespace, metadata["name"] if named else "")

    def _json(self, method: str, path: str, **options: Any) -> Manifest:
        found = json.loads(self._text(method, path, **options))
        return found if isinstance(found, dict) else {}

    def _text(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None, content: str = _JSON
    ) -> str:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            response = self._client.call_api(
                path, method, query_params=list((query or {}).items()), auth_settings=["BearerToken"],
                header_params={"Accept": "application/json, */*", "Content-Type": content},
                body=body, response_type="str",
                _preload_content=False, _return_http_data_only=True, _request_timeout=_TIMEOUT_SECONDS,
            )  # fmt: skip
        except ApiException as error:
            raise self._explain(method, path, int(error.status or 0), error.body) from None
        except (HTTPError, OSError) as error:
            raise PlatformError(
                f"the API server {self.where} cannot be reached: {error}; check the network and `kubectl version`"
            ) from None
        text: str = response.data.decode()
        return text

    def _explain(self, method: str, path: str, status: int, body: str | bytes | None) -> PlatformError:
        text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
        try:
            answer = json.loads(text)
            message, reason = str(answer["message"]), str(answer.get("reason", ""))
        except (ValueError, KeyError, TypeError):
            message, reason = text.strip()[:500] or f"status {status}", ""
        if status == _CONFLICT:
            return (AlreadyExistsError if reason == "AlreadyExists" else ConflictError)(message)
        if status == _NOT_FOUND:
            return NotServedError(f"{method} {path}: {message}")
        if status == _FORBIDDEN and " cannot " in message:
            return RefusedError(
                f"{message}; bind the Role that allows it (manifests/base/permissions), or use another service account"
            )
        if "admission webhook" in message or status == _FORBIDDEN:
            return RefusedError(f"the cluster refuses {path.rsplit('/', 1)[-1]}: {message}")
        return PlatformError(f"{method} {path} at {self.where}: {message} (status {status})")


def _context_namespace(context: str) -> str:
    from kubernetes import config

    contexts, active = config.list_kube_config_contexts(os.environ.get("KUBECONFIG"))
    chosen = next((c for c in contexts if c["name"] == context), active) if context else active
    return str(chosen["context"].get("namespace") or "default")

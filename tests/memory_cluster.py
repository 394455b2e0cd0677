"""A Kubernetes API in memory, as far as leases and records need it: objects with resourceVersions, and conflicts."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow.api import AlreadyExistsError, ConflictError
from fairlead.platform.kubeflow.kinds import Kind, kind_of


class MemoryCluster:
    """Objects by kind and name, in one namespace; `cut` makes every call fail, as a lost network does."""

    namespace = "n"

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.cut = False
        self._version = 0

    def get(self, kind: Kind, name: str, namespace: str = "") -> dict[str, Any] | None:
        """A copy of an object."""
        del namespace
        self._check()
        return deepcopy(self.objects.get((kind.plural, name)))

    def list(self, kind: Kind, labels: Mapping[str, str] | None = None, namespace: str = "") -> list[dict[str, Any]]:
        """Copies of all objects that carry the labels."""
        del namespace
        self._check()
        wanted = (labels or {}).items()
        found = [one for (plural, _), one in self.objects.items() if plural == kind.plural]
        return deepcopy([one for one in found if wanted <= one["metadata"].get("labels", {}).items()])

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Creates an object, unless there is one of that name."""
        self._check()
        if self._key(manifest) in self.objects:
            raise AlreadyExistsError("already exists")
        return self._put(manifest)

    def replace(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Replaces an object that nobody changed since it was read."""
        self._check()
        known = self.objects[self._key(manifest)]["metadata"]["resourceVersion"]
        if manifest["metadata"]["resourceVersion"] != known:
            raise ConflictError("the object has been modified")
        return self._put(manifest)

    def delete(self, kind: Kind, name: str) -> None:
        """Removes an object."""
        self._check()
        self.objects.pop((kind.plural, name), None)

    def _put(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self._version += 1
        kept = deepcopy(dict(manifest))
        kept["metadata"] = {**kept["metadata"], "resourceVersion": str(self._version)}
        self.objects[self._key(manifest)] = kept
        return deepcopy(kept)

    def _check(self) -> None:
        if self.cut:
            raise PlatformError("the API server cannot be reached")

    @staticmethod
    def _key(manifest: Mapping[str, Any]) -> tuple[str, str]:
        return kind_of(manifest).plural, manifest["metadata"]["name"]

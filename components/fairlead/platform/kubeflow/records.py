"""What is kept of a service's rollouts on a cluster: ConfigMaps that survive every pod, and a Lease."""

import gzip
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fairlead.errors import StateError
from fairlead.platform.kubeflow.api import AlreadyExistsError, Cluster, ConflictError, Manifest
from fairlead.platform.kubeflow.charge import Charge, take_charge
from fairlead.platform.kubeflow.kinds import CONFIG_MAP
from fairlead.platform.kubeflow.names import PART_OF, SERVICE, config_map_name

_HISTORY_BYTES = 400_000  # of the newest lines; Kubernetes takes objects up to 1 MiB
_STATE_BYTES = 700_000  # packed
_LAZY_SECONDS = 2.0  # between writes that say nothing new: every one is a write to etcd
_ATTEMPTS = 8
_STATE, _COMMAND, _HISTORY = "state.json.gz", "command", "history.jsonl"


class ConfigMapRecords:
    """One service's records: `fairlead-rollout-NAME` and `fairlead-history-NAME`.

    Args:
        cluster: The cluster.
        name: The service.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self.name = cluster, name
        self._rollout, self._history = config_map_name("rollout", name), config_map_name("history", name)
        self._written = 0.0
        self._charge: Charge | None = None

    @property
    def where(self) -> str:
        """The state's ConfigMap."""
        return f"ConfigMap {self._cluster.namespace}/{self._rollout}"

    def where_kept(self, key: str) -> str:
        """The same ConfigMap's key."""
        return f"{self.where}, key {_key(key)}"

    @contextmanager
    def charge(self) -> Iterator[None]:
        """Takes charge by the Lease; see `charge.take_charge`."""
        with take_charge(self._cluster, self.name) as charge:
            self._charge = charge
            try:
                self._change(self._rollout, lambda content: _set(content, "data", _COMMAND, None))
                yield
            finally:
                self._charge = None

    def read(self) -> bytes | None:
        """The state of the latest rollout."""
        packed = self._read(self._rollout).get("binaryData", {}).get(_STATE)
        try:
            return None if packed is None else gzip.decompress(b64decode(packed))
        except (OSError, ValueError, EOFError) as error:
            raise StateError(f"{self.where} is not a rollout's state ({error}); remove its key {_STATE}") from None

    def write(self, content: bytes, *, urgent: bool = True) -> None:
        """Keeps the state; one that says nothing new at most every 2 seconds.

        Raises:
            LostChargeError: Somebody else took charge in the meantime.
            StateError: It is too large for a ConfigMap.
        """
        if self._charge is not None:
            self._charge.beat()
        if not urgent and time.monotonic() - self._written < _LAZY_SECONDS:
            return
        packed = gzip.compress(content, mtime=0)
        if len(packed) > _STATE_BYTES:
            raise StateError(f"the state of {self.name}'s rollout has {len(packed)} bytes packed; shorten its steps")
        self._change(self._rollout, lambda held: _set(held, "binaryData", _STATE, b64encode(packed).decode()))
        self._written = time.monotonic()

    def command(self, word: str) -> None:
        """Leaves a word for the one in charge; anybody may."""
        self._change(self._rollout, lambda content: _set(content, "data", _COMMAND, word), free=True)

    def commanded(self) -> str | None:
        """The word that was left."""
        word = self._read(self._rollout).get("data", {}).get(_COMMAND)
        return str(word) if word else None

    def append(self, line: str) -> None:
        """Adds a line to the history; the oldest go when it has grown too long."""

        def add(content: Manifest) -> None:
            lines = [*content.get("data", {}).get(_HISTORY, "").splitlines(), line]
            while sum(len(one.encode()) + 1 for one in lines) > _HISTORY_BYTES:
                lines = lines[max(1, len(lines) // 10) :]
            _set(content, "data", _HISTORY, "\n".join(lines) + "\n")

        self._change(self._history, add, free=True)

    def lines(self) -> list[str]:
        """The history, oldest first."""
        content = str(self._read(self._history).get("data", {}).get(_HISTORY, ""))
        return [line for line in content.splitlines() if line.strip()]

    def keep(self, key: str, content: bytes) -> None:
        """Keeps a document of one version."""
        self._change(self._rollout, lambda held: _set(held, "data", _key(key), content.decode()), free=True)

    def kept(self, key: str) -> bytes | None:
        """A document of one version."""
        found = self._read(self._rollout).get("data", {}).get(_key(key))
        return None if found is None else str(found).encode()

    def _read(self, name: str) -> Manifest:
        return self._cluster.get(CONFIG_MAP, name) or {}

    def _change(self, name: str, change: Callable[[Manifest], None], *, free: bool = False) -> None:
        """Reads, changes and replaces an object, again where somebody else was quicker."""
        for attempt in range(_ATTEMPTS):
            if not free and self._charge is not None:
                self._charge.check()
            found = self._cluster.get(CONFIG_MAP, name)
            content = found or self._empty(name)
            change(content)
            try:
                (self._cluster.create if found is None else self._cluster.replace)(content)
            except (ConflictError, AlreadyExistsError):
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.05 * 2**attempt)
            else:
                return

    def _empty(self, name: str) -> Manifest:
        labels = {PART_OF[0]: PART_OF[1], SERVICE: self.name, "app.kubernetes.io/component": "rollout"}
        metadata = {"name": name, "namespace": self._cluster.namespace, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def _key(digest: str) -> str:
    return f"policy-{digest.removeprefix('sha256:')}"


def _set(content: dict[str, Any], section: str, key: str, value: str | None) -> None:
    part = content.get(section) or {}
    content[section] = part
    if value is None:
        part.pop(key, None)
    else:
        part[key] = value

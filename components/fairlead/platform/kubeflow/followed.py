"""What a controller of the cluster works on for us: made once whoever asks first, and followed through an outage."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow.api import AlreadyExistsError, Cluster, Manifest, RefusedError
from fairlead.platform.kubeflow.kinds import Kind

PATIENCE_SECONDS = 300.0  # an API server that is being upgraded
_GONE_SECONDS = 120.0
_POLL_SECONDS = 1.0

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class GoneError(PlatformError):
    """The object was deleted while it was followed."""


@dataclass
class Patience:
    """Asks again and again what may be out of reach for some minutes."""

    _lost_since: float | None = field(default=None, init=False)

    def ask(self, question: Callable[[], Answer]) -> Answer | None:
        """Asks once.

        Returns:
            The answer; None while there is none.

        Raises:
            PlatformError: There has been none for too long.
            RefusedError: This user may not ask; no waiting would mend it.
            GoneError: What was asked after is not there any more.
        """
        try:
            answer = question()
        except (RefusedError, GoneError):
            raise
        except PlatformError as error:
            now = time.monotonic()
            self._lost_since = self._lost_since or now
            if now - self._lost_since > PATIENCE_SECONDS:
                raise
            logger.warning("%s; trying again", error)
            return None
        self._lost_since = None
        return answer


@dataclass
class FollowedObject(ABC):
    """One object, by name, in the cluster's namespace.

    Attributes:
        kind: Its kind.
        cluster: Where.
        name: Its name.
        patience: With an API server that does not answer.
    """

    kind: ClassVar[Kind]
    cluster: Cluster
    name: str
    patience: Patience = field(default_factory=Patience, init=False)

    def read(self) -> Manifest | None:
        """The object; None where there is none, or it is on its way out."""
        found = self.cluster.get(self.kind, self.name)
        return None if found is None or found["metadata"].get("deletionTimestamp") else found

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Creates it, once an earlier one of the name has left; one that another run has just created is the same.

        Raises:
            ConfigurationError: Its controller refuses it.
            RefusedError: This user may not create it.
            PlatformError: The cluster is out of reach, or the earlier one does not leave.
        """
        self._wait_gone()
        try:
            self.cluster.create(manifest)
        except AlreadyExistsError:
            logger.info("the %s %s was created by another run just now", self.kind.kind, self.name)
        except PlatformError as error:
            raise self.explain_refusal(error, manifest) from None

    def delete(self) -> None:
        """Deletes it, with all that its controller made of it."""
        self.cluster.delete(self.kind, self.name)

    @abstractmethod
    def explain_refusal(self, error: PlatformError, manifest: Mapping[str, Any]) -> Exception:
        """What the user is told of an object that was not taken: with what to do, where that is known."""

    def _wait_gone(self) -> None:
        deadline = time.monotonic() + _GONE_SECONDS
        while True:
            found = self.cluster.get(self.kind, self.name)
            if found is None or not found["metadata"].get("deletionTimestamp"):
                return
            if time.monotonic() > deadline:
                held = ", ".join(found["metadata"].get("finalizers", [])) or "none"
                raise PlatformError(
                    f"the {self.kind.kind} {self.name} has been on its way out for {_GONE_SECONDS:.0f} s, held by its "
                    f"finalizers ({held}); is the controller of {self.kind.group} up?"
                )
            time.sleep(_POLL_SECONDS)

"""What a problem's feature store holds, written beside it, and the lock that makes two runs take turns."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from fairlead import atomic
from fairlead.errors import StateError

FILE = "state.json"
_FORMAT = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """What the online store holds.

    Attributes:
        as_of: The moment to which it was brought (ISO 8601); empty: not yet to any.
        pending: The moment to which it was being brought when this was written; empty: that has ended.
        declarations: The digest of the Feast repository that was applied.
        tables: The digest of the published tables.
        histories: A fingerprint of each table's rows up to as_of.
    """

    as_of: str = ""
    pending: str = ""
    declarations: str = ""
    tables: str = ""
    histories: dict[str, str] = field(default_factory=dict)

    @property
    def moment(self) -> datetime | None:
        """`as_of` as a time."""
        return datetime.fromisoformat(self.as_of) if self.as_of else None


def read_state(home: Path) -> State | None:
    """Reads the state; None where there is no store yet.

    Raises:
        StateError: The file is corrupt or of another version.
    """
    file = home / FILE
    advice = f"delete the folder {home} and run the pipeline again; it is made anew"
    try:
        content = json.loads(file.read_text())
        version = content.pop("format")
        if version != _FORMAT:
            raise StateError(f"{file} is of format {version}, this fairlead reads {_FORMAT}; {advice}")
        state = State(**content)
        _ = state.moment
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise StateError(f"{file} cannot be read ({error!r}); {advice}") from None
    return state


def write_state(home: Path, state: State) -> None:
    """Writes the state."""
    atomic.write_json(home / FILE, {"format": _FORMAT, **asdict(state)})


@contextmanager
def locked(home: Path, seconds: float = 600) -> Iterator[None]:
    """Holds the store's lock; waits while another run holds it.

    Args:
        home: The feature store's folder.
        seconds: How long to wait.

    Raises:
        StateError: The other run still holds it after that time.
    """
    import filelock

    home.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(home / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        logger.info("another run is writing to the feature store %s; waiting for it", home)
        try:
            lock.acquire(timeout=seconds)
        except filelock.Timeout:
            raise StateError(
                f"the feature store {home} has been locked by another run for {seconds:g} s; let it end or stop it"
            ) from None
    try:
        yield
    finally:
        lock.release()

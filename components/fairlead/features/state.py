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
        online: What tells whether an online store elsewhere still holds that (see fairlead.features.online_redis).
    """

    as_of: str = ""
    pending: str = ""
    declarations: str = ""
    tables: str = ""
    histories: dict[str, str] = field(default_factory=dict)
    online: str = ""

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
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{file} cannot be read ({error!r}); {_advice(home)}") from None
    return parse_state(content, str(file), _advice(home))


def parse_state(content: bytes, file: str, advice: str) -> State:
    """Takes a state's file apart.

    Args:
        content: What is in it.
        file: What people know it by.
        advice: What to do if it cannot be read.

    Returns:
        The state.

    Raises:
        StateError: It is corrupt or of another version.
    """
    try:
        members = json.loads(content)
        version = members.pop("format")
        if version != _FORMAT:
            raise StateError(f"{file} is of format {version}, this fairlead reads {_FORMAT}; {advice}")
        state = State(**members)
        _ = state.moment
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(f"{file} cannot be read ({error!r}); {advice}") from None
    return state


def _advice(home: Path) -> str:
    return f"delete the folder {home} and run the pipeline again; it is made anew"


def write_state(home: Path, state: State) -> None:
    """Writes the state."""
    atomic.write_text(home / FILE, state_text(state))


def state_text(state: State) -> str:
    """What is in a state's file."""
    return json.dumps({"format": _FORMAT, **asdict(state)}, indent=1) + "\n"


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

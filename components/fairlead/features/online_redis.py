"""The online store in Redis: filled beside what readers see, and put in its place key by key.

Feast keeps one hash for each entity, whose key ends in the project's name. A store that is built anew is written under
another project's name; then each of its hashes is renamed to the name that readers ask for, which changes an entity's
features at once and leaves no moment without them; last, entities that are no longer known go. A token tells whether
Redis still holds what the state says: one that was restarted empty does not.
"""

import struct
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import ConfigurationError, PlatformError, StateError
from fairlead.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

    from fairlead.features.homes import OnlineStore

VARIABLE = "FAIRLEAD_REDIS"
"""What feature_store.yaml names in place of the connection, which may hold a password; Feast puts its value in."""

_FRESH = "__fresh"
_TIME = b"_ts:"
_BATCH = 500
_FACTS = {"OOM": "its memory is used up: raise maxmemory", "NOPERM": "its user may not do that: see its ACL"}


class RedisOnline:
    """A project's online store in Redis; see fairlead.features.homes.OnlineStore.

    Args:
        place: The settings, whose `redis` leads there.
        project: Feast's project.

    Raises:
        ConfigurationError: The connection cannot be read.
    """

    def __init__(self, place: Settings, project: str) -> None:
        self.connection, self.project = place.redis.get_secret_value(), project
        self.address = next((part for part in self.connection.split(",") if "=" not in part), "")
        if not self.address.partition(":")[2].isdigit() or "'" in self.connection or "\n" in self.connection:
            raise ConfigurationError(
                f"setting redis ({VARIABLE}): write HOST:PORT, then options such as ,ssl=true,password=…; the password "
                "holds no comma, quote or line break"
            )
        self._client: Redis | None = None

    def section(self) -> dict[str, Any]:
        """Its part of feature_store.yaml; no password is in it."""
        return {"type": "redis", "connection_string": f"${{{VARIABLE}}}"}

    def environment(self) -> dict[str, str]:
        """What Feast puts into feature_store.yaml when it opens the store."""
        return {VARIABLE: self.connection}

    def holds(self, token: str) -> bool:
        """Whether it holds what the state that has this token says.

        Raises:
            StateError: Redis cannot be used.
        """
        with self.told():
            found = self._redis().get(self._token)
        return bool(token) and found == token.encode()

    def rebuild(self, folder: Path, fill: "Callable[[OnlineStore], None]") -> str:
        """Fills a store beside this one, and puts it in its place key by key; it needs no folder."""
        del folder
        beside = copy(self)
        beside.project = f"{self.project}{_FRESH}"
        beside.clear()  # of what a run that was killed has left
        try:
            fill(beside)
            return self._take_over(beside)
        finally:
            beside.clear()

    def clear(self) -> None:
        """Removes all of it."""
        with self.told():
            for keys in _batches(self.keys()):
                self._redis().unlink(*keys)

    def _take_over(self, fresh: "RedisOnline") -> str:
        token, known = uuid.uuid4().hex, set[bytes]()
        with self.told():
            for keys in _batches(list(fresh.keys())):
                with self._redis().pipeline(transaction=True) as pipe:
                    for key in keys:
                        known.add(key[: -len(fresh.project)] + self.project.encode())
                        pipe.rename(key, key[: -len(fresh.project)] + self.project.encode())
                    pipe.execute()
            for keys in _batches(key for key in self.keys() if key not in known):
                self._redis().unlink(*keys)
            self._redis().set(self._token, token)
        return token

    def count_keys(self) -> dict[str, int]:
        """Entity keys held, by view."""
        counts: dict[str, int] = {}
        for name, _ in self._times():
            counts[name] = counts.get(name, 0) + 1
        return counts

    def latest_event(self) -> datetime | None:
        """The latest event time of any row held; None for an empty store."""
        return max((moment for _, moment in self._times()), default=None)

    @property
    def _token(self) -> str:
        return f"fairlead:features:{self.project}"

    def _times(self) -> Iterator[tuple[str, datetime]]:
        """View and event time of each row."""
        from google.protobuf.timestamp_pb2 import Timestamp

        with self.told():
            for keys in _batches(self.keys()):
                with self._redis().pipeline(transaction=False) as pipe:
                    for key in keys:
                        pipe.hgetall(key)  # type: ignore[arg-type]  # keys are bytes, values too
                    hashes = pipe.execute()
                for name, value in (item for fields in hashes for item in fields.items()):
                    if name.startswith(_TIME):
                        moment = Timestamp()
                        moment.ParseFromString(value)
                        yield name.removeprefix(_TIME).decode(), moment.ToDatetime(UTC)

    def keys(self) -> Iterator[bytes]:
        """This project's keys, each once; another project's name may end like this one's."""
        project, seen = self.project.encode(), set[bytes]()
        for key in self._redis().scan_iter(b"*" + project, count=10_000):
            if _entity_length(key) == len(key) - len(project) and key not in seen:
                seen.add(key)
                yield key

    def _redis(self) -> "Redis":
        if self._client is None:
            from feast.infra.online_stores.redis import RedisOnlineStore
            from redis import Redis

            nodes, options = RedisOnlineStore._parse_connection_string(self.connection)  # noqa: SLF001 - as Feast does
            self._client = Redis(host=nodes[0]["host"], port=int(nodes[0]["port"]), **options)
        return self._client

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tells what goes wrong with Redis in the block in our words, without its password.

        Raises:
            StateError: Redis refuses.
            PlatformError: Redis gives no answer.
        """
        from redis import exceptions

        try:
            yield
        except exceptions.AuthenticationError as error:
            raise ConfigurationError(
                f"Redis at {self.address} refuses the password ({error}); check {VARIABLE}"
            ) from None
        except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
            raise PlatformError(f"Redis at {self.address} gives no answer ({error}); see that it runs") from None
        except exceptions.RedisError as error:
            fact = next((text for code, text in _FACTS.items() if str(error).startswith(code)), "see its log")
            raise StateError(f"the online store in Redis at {self.address} cannot be used ({error}); {fact}") from None


def _batches(keys: "Iterator[bytes] | list[bytes]") -> Iterator[list[bytes]]:
    left = iter(keys)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _entity_length(key: bytes) -> int:
    """How long the entity's part of a key is (Feast's entity key serialization 3); -1 for a key of something else."""
    try:
        (names,) = struct.unpack_from("<I", key)
        at = 4
        for _ in range(2 * min(names, len(key))):  # the names, then the values: type, length, bytes
            (length,) = struct.unpack_from("<I", key, at + 4)
            at += 8 + length
    except struct.error:
        return -1
    return at

"""A lock that works across machines: an object that its holder renews, and others take over when it no longer does.

Nobody's clock is compared with anybody else's: whoever waits looks whether the object stays the same for as long as a
lease lasts, by a clock of its own. Every change is a conditional write, so of several that want it one has it.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fairlead.errors import FairleadError, StateError
from fairlead.objects import ObjectConflictError, Objects, Version

LEASE_SECONDS = 15.0
_LOOK_SECONDS = 0.2


class Lease:
    """What one holds.

    Args:
        objects: Where the lock is.
        uri: The lock's address.
        lease_seconds: How long it lasts without being renewed.
    """

    def __init__(self, objects: Objects, uri: str, lease_seconds: float) -> None:
        self.uri = uri
        self._lost, self._renewed = False, time.monotonic()
        self._objects, self._seconds, self._ended = objects, lease_seconds, threading.Event()
        self._holder = f"{socket.gethostname()}, process {os.getpid()}, {uuid.uuid4().hex[:8]}"
        self._number = 0
        self._held: Version | None = None
        self._renewer = threading.Thread(target=self._renew, name=f"lease {uri}", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether another may have it: it took it, or could have, as this one was not renewed in time."""
        return self._lost or time.monotonic() - self._renewed > self._seconds

    def check(self) -> None:
        """Looks whether it is still held; to be asked before what must not be done by two.

        Raises:
            StateError: It is not: another may have it.
        """
        if self.lost:
            raise StateError(
                f"the lock {self.uri} was lost: this process was stopped for {self._seconds:g} s, or the object store "
                "was out of reach; run it again"
            )

    def take(self, wait_seconds: float) -> None:
        """Waits until it is free.

        Raises:
            StateError: Another held it all the time.
        """
        until, seen, since = time.monotonic() + wait_seconds, None, time.monotonic()
        while True:
            now = self._objects.find_version(self.uri)
            if now is None or now != seen:
                seen, since = now, time.monotonic()
            over = time.monotonic() - since >= self._seconds
            if now is None or over or not _holder(now):
                with suppress(ObjectConflictError):
                    self._write(now)
                    self._renewer.start()
                    return
            if time.monotonic() >= until:
                holder = _holder(now) if now else "several others"
                raise StateError(f"the lock {self.uri} has been held by {holder} for {wait_seconds:g} s; let it end")
            time.sleep(_LOOK_SECONDS)

    def give_back(self) -> None:
        """Lets others have it; where the store is out of reach it runs out by itself."""
        self._ended.set()
        self._renewer.join(self._seconds)
        if not self.lost and not self._renewer.is_alive():
            with suppress(FairleadError):
                self._objects.replace_bytes(self.uri, self._content(""), self._held)

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / 6):
            try:
                self._write(self._held)
            except ObjectConflictError:
                self._lost = True
            except FairleadError:  # the store may be back before the lease runs out
                self._lost = self.lost
            if self._lost:
                return

    def _write(self, before: Version | None) -> None:
        begun = time.monotonic()  # others may see the write at once, and count from then
        try:
            self._held = self._objects.replace_bytes(self.uri, self._content(self._holder), before)
        except ObjectConflictError:
            now = self._objects.find_version(self.uri)
            if now is None or _holder(now) != self._holder:
                raise
            self._held = self._objects.replace_bytes(
                self.uri, self._content(self._holder), now
            )  # a write of ours whose answer was lost
        self._renewed = begun

    def _content(self, holder: str) -> bytes:
        self._number += 1  # so that every renewal is another version
        return json.dumps({"holder": holder, "number": self._number, "of": self._holder}).encode()


@contextmanager
def leased(
    objects: Objects, uri: str, *, wait_seconds: float = 120.0, lease_seconds: float = LEASE_SECONDS
) -> Iterator[Lease]:
    """Holds a lock while the block lasts.

    Args:
        objects: Where the lock is.
        uri: Its address.
        wait_seconds: How long to wait for another.
        lease_seconds: How long a holder that was killed keeps others out.

    Yields:
        The lease.

    Raises:
        StateError: Another held it all the time; or it was lost before the block ended.
    """
    lease = Lease(objects, uri, lease_seconds)
    lease.take(wait_seconds)
    try:
        yield lease
        lease.check()
    finally:
        lease.give_back()


def _holder(version: Version) -> str:
    try:
        return str(json.loads(version.content)["holder"])
    except (ValueError, KeyError, TypeError):
        return "something that is no lock"

"""Clients of a service behind a gateway, which count who answered and what failed."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

from models import tiny_rows


class Clients:
    """Clients of a service behind a gateway, until they are told to stop."""

    def __init__(self, gateway_url: str, host: str, name: str, threads: int, per_second: float) -> None:
        self._address, self._host, self._name = urlsplit(gateway_url), host, name
        self.pause = threads / per_second
        rows = tiny_rows(1, seed=3)
        instance = {key: values[0].item() for key, values in rows.items() if key != "late"}
        self._body = json.dumps({"instances": [instance]})
        self.failures: list[tuple[float, str]] = []
        self.answered: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.headers: dict[str, str] = {}
        self._stop, self._numbers = threading.Event(), itertools.count()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return sum(self.answered.values()) + len(self.failures)

    def start(self) -> None:
        """Begins to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends; every request that was sent has been answered or has failed."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def ask(self, connection: http.client.HTTPConnection, **headers: str) -> tuple[int, str]:
        """Sends one prediction; gives the status and the digest that answered."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        sent = {"Host": self._host, "content-type": "application/json", "x-request-id": f"c{next(self._numbers)}"}
        connection.request("POST", f"/v1/models/{self._name}:predict", self._body, {**sent, **self.headers, **named})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("x-fairlead-digest", "")

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the gateway."""
        return http.client.HTTPConnection(str(self._address.hostname), self._address.port or 80, timeout=30)

    def count(self, requests: int) -> Counter[str]:
        """Who answers so many requests; a failure counts as its status."""
        connection, seen = self.connect(), Counter[str]()
        for _ in range(requests):
            status, digest = self.ask(connection)
            seen[digest if status == 200 else str(status)] += 1
        connection.close()
        return seen

    def _run(self) -> None:
        connection = self.connect()
        while not self._stop.wait(self.pause):
            begun = time.monotonic()
            try:
                status, digest = self.ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append((time.monotonic(), repr(error)))
                connection.close()
                continue
            self.seconds.append(time.monotonic() - begun)
            if status == 200:
                self.answered[digest] += 1
            else:
                self.failures.append((time.monotonic(), str(status)))
        connection.close()

"""The moment at which a server says that it is ready, and what it answers in that very moment."""

import threading
from typing import Any

import numpy as np

from fairlead.errors import PlatformError
from fairlead.evaluation.serving_trial.payloads import Columns, path_of, v2
from fairlead.evaluation.serving_trial.plain_http import ConnectionLostError
from fairlead.evaluation.serving_trial.process import ServerProcess
from fairlead.evaluation.serving_trial.signature import askable, image_shapes, read_fields
from fairlead_serving.images import write_png
from fairlead_serving.package import Manifest

_OF_TYPES = {"string": "", "timestamp": "2013-07-01T12:00:00Z", "bool": False, "boolean": False}


def made_up_row(manifest: Manifest) -> Columns:
    """One row that the model can take, without any data at hand: noughts, first words, black images.

    It has the model's inputs, and the fields of its request where they are others.
    """
    request = (manifest.request or {}).get("fields", {})
    row: dict[str, list[Any]] = {name: [_OF_TYPES.get(kind, 0)] for name, kind in request.items()}
    row |= {item.name: [0.0] for item in manifest.numeric if item.name not in row}
    row |= {item.name: [next(iter(item.vocabulary), "")] for item in manifest.categorical}
    row |= {item.name: [write_png(np.zeros(item.shape, np.uint8))] for item in manifest.images}
    return row


class ReadinessWatch(threading.Thread):
    """Looks at a server from its start, while this process does other things.

    Args:
        server: The server.
        manifest: What it serves.
    """

    def __init__(self, server: ServerProcess, manifest: Manifest) -> None:
        super().__init__(name="readiness", daemon=True)
        self._server, self._manifest = server, manifest
        self._seconds = 0.0
        self._failure: PlatformError | None = None
        self._objection = ""

    def run(self) -> None:
        """Waits until the server says that it is ready, and asks for a prediction at once."""
        try:
            self._seconds = self._server.wait_ready()
            self._objection = self._ask()
        except PlatformError as error:
            self._failure = error

    def result(self) -> tuple[float, str]:
        """Waits for the end.

        Returns:
            Seconds from the server's start until it said that it was ready; and, where it could not predict in that
            moment, what it said instead.

        Raises:
            PlatformError: It ended before, or took too long.
        """
        self.join()
        if self._failure is not None:
            raise self._failure
        return self._seconds, self._objection

    def _ask(self) -> str:
        """A refusal of the made-up row will do (4xx): whoever refuses it has read it."""
        name, row = self._server.name, made_up_row(self._manifest)
        try:
            metadata = self._server.ask("GET", f"/v2/models/{name}")
            fields = askable(read_fields(metadata, image_shapes(self._manifest)), row)
            answer = self._server.ask("POST", path_of("v2", name), v2(fields, row))
        except (PlatformError, ConnectionLostError) as error:
            return str(error)
        return "" if answer.status < 500 else f"status {answer.status}: {answer.text()}"  # noqa: PLR2004

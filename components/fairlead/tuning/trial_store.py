"""What a trial in a cluster takes from the object store, and what it leaves there under its own name.

Katib keeps the latest figures of a trial and nothing else: no curve, no reason of a failure, no model. So each trial
writes `trial.json` and `checkpoint/` below `STORE/NAME/`, and whoever follows the Experiment reads them.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.errors import ConfigurationError, FairleadError
from fairlead.objects import Objects
from fairlead.training import lineage
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.stored_data import fetch_dataset
from fairlead.tuning.sampling import Values
from fairlead.tuning.trial_job import DATA, NAME, STORE
from fairlead.tuning.trials import Inputs, Trained

CHECKPOINT, NOTE = "checkpoint", "trial.json"
RUNNING = "running"
_SECONDS_BETWEEN_NOTES = 2.0

logger = logging.getLogger(__name__)


@dataclass
class Note:
    """What is known of a trial, in its own words; see `fairlead.tuning.study.TrialRecord`."""

    state: str = RUNNING
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)
    error: str = ""


class TrialStore:
    """The object store, as one trial sees it."""

    def __init__(self, objects: Objects, folder: str) -> None:
        """Wraps the store; `folder` is where this trial writes: s3://BUCKET/PREFIX/NAME."""
        self.objects, self.folder = objects, folder.rstrip("/")
        self._noted = 0.0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "TrialStore | None":
        """The store that the environment names; None where it names none.

        Raises:
            ConfigurationError: It names a store, but not the trial.
        """
        if not environment.get(STORE):
            return None
        if not environment.get(NAME):
            raise ConfigurationError(f"{STORE} is set, but {NAME} is not: a trial writes under its own name; set both")
        return cls(Objects.connect(), f"{environment[STORE].rstrip('/')}/{environment[NAME]}")

    def fetch(self, inputs: Inputs, environment: Mapping[str, str]) -> None:
        """Brings the datasets to where the inputs have them; what is there already is left.

        Raises:
            SourceError: One cannot be read, or is not the one that was meant.
        """
        paths = {"train": inputs.train_path, "validation": inputs.validation_path}
        for role, uri in json.loads(environment.get(DATA, "{}")).items():
            fetch_dataset(self.objects, uri, paths[role])

    def write_note(self, note: Note, *, now: bool = False) -> None:
        """Keeps what is known so far, every few seconds; `now` keeps it in any case, and says where that fails."""
        moment = time.monotonic()
        if not now and moment - self._noted < _SECONDS_BETWEEN_NOTES:
            return
        self._noted = moment
        try:
            self.objects.write_bytes(f"{self.folder}/{NOTE}", json.dumps(asdict(note)).encode())
        except FairleadError:
            if now:
                raise
            logger.warning("the trial's progress could not be stored; it goes on", exc_info=True)

    def write_checkpoint(self, inputs: Inputs, values: Values, trained: Trained, scratch: Path) -> None:
        """Stores the trial's model.

        Args:
            inputs: What the search looks at.
            values: The trial's.
            trained: What it left.
            scratch: A folder to write it to first.
        """
        data, roles = trained.data, {"train": inputs.train_path, "validation": inputs.validation_path}
        origin: dict[str, Any] = {role: lineage.describe_dataset(path) for role, path in roles.items()}
        origin |= {
            "tuned": inputs.tuning.hyperparameters(values), "trial": self.folder.rpartition("/")[2],
            "latest_rows": inputs.tuning.maximum_rows, "versions": lineage.library_versions(),
        }  # fmt: skip
        Checkpoint(data.design, inputs.label, trained.fitted, origin, data.statistics).write(scratch / CHECKPOINT)
        self.objects.upload_folder(scratch / CHECKPOINT, f"{self.folder}/{CHECKPOINT}")


def read_note(objects: Objects, folder: str) -> Note | None:
    """What a trial wrote of itself; None where it wrote nothing that can be read."""
    try:
        content = json.loads(objects.read_bytes(f"{folder}/{NOTE}"))
        return Note(**content)
    except (FairleadError, ValueError, TypeError) as error:
        logger.debug("no note of a trial at %s: %s", folder, error)
        return None

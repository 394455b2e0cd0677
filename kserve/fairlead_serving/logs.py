"""The logs of one server process: where they lie, who writes them and who makes Parquet of them."""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fairlead_serving.bucket import Bucket
from fairlead_serving.errors import StartupError
from fairlead_serving.log_lines import FeedbackLines, PredictionLines
from fairlead_serving.metrics import short
from fairlead_serving.package import ModelPackage
from fairlead_serving.partitions import (
    BUCKET_JOURNAL_SECONDS,
    BUCKET_SECONDS,
    FOLDER_SECONDS,
    SPOOL_BYTES,
    BucketTarget,
    FolderTarget,
    Publisher,
)
from fairlead_serving.prediction_log import JOURNAL_SECONDS, JsonLinesLog, Writer

Count = Callable[[str, str, int], None]
Note = Callable[[str, str], None]
_SCHEME = "s3://"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelLogs:
    """The logs of one served model.

    Attributes:
        predictions: Takes scored queries.
        feedback: Takes reported outcomes.
    """

    predictions: JsonLinesLog
    feedback: JsonLinesLog

    def close(self) -> None:
        """Writes what waits; the journals are closed and may become Parquet."""
        self.predictions.close()
        self.feedback.close()


class Logs:
    """The logs of one process; `of` gives those of a model.

    Args:
        writer: The writer of this process.
        publisher: What makes Parquet of its journals.
        count: Called with a log (`predictions` or `feedback`), `written` or `dropped`, and a number of rows.
    """

    def __init__(self, writer: Writer, publisher: Publisher, count: Count) -> None:
        self._writer, self._publisher, self._count = writer, publisher, count

    @classmethod
    def open(
        cls, location: str, count: Count, note: Note, *, journals: Path | None = None, days: int = 0,
        spool_bytes: int = SPOOL_BYTES,
    ) -> "Logs":  # fmt: skip
        """Opens the logs of a process.

        Args:
            location: A folder, or s3://BUCKET/PREFIX.
            count: Called with a log, `written` or `dropped`, and a number of rows; from any thread.
            note: Called with a log and `published` or `failed`, for each journal; from any thread.
            journals: The folder of the journals where the location is S3; by default one below the system's folder
                for temporary files.
            days: How many days of partitions are kept; 0 for all.
            spool_bytes: How much journals that wait for S3 may take.

        Raises:
            StartupError: The folder cannot be written, or the address or the settings of S3 are wrong.
        """
        remote = location.startswith(_SCHEME)
        folder = Path(location) if not remote else journals or Path(tempfile.gettempdir()) / "fairlead-journals"
        bucket = BucketTarget(Bucket.open(location)) if remote else None
        try:
            writer = Writer.start(folder, BUCKET_JOURNAL_SECONDS if remote else JOURNAL_SECONDS)
        except OSError as error:
            raise StartupError(
                f"predictions cannot be written to {folder}: {error}; give another "
                f"{'--journals' if remote else '--predictions'}"
            ) from None
        publisher = Publisher(
            folder, bucket or FolderTarget(folder), count, note, days=days, mark=writer.mark if remote else "",
            every_seconds=BUCKET_SECONDS if remote else FOLDER_SECONDS, spool_bytes=spool_bytes if remote else 0,
        )  # fmt: skip
        logger.info("predictions are logged in %s%s", folder, f" and published to {location}" if remote else "")
        return cls(writer, publisher, count)

    def of(self, name: str, package: ModelPackage) -> ModelLogs:
        """Opens the logs of a model.

        Args:
            name: The name under which it is served.
            package: Its package.
        """
        lines = PredictionLines(name, package.digest, package.manifest)
        feedback, version = FeedbackLines(name, package.manifest.task), short(package.digest)
        return ModelLogs(
            self._writer.open(lines, lambda result, rows: self._count("predictions", result, rows), version),
            self._writer.open(feedback, lambda result, rows: self._count("feedback", result, rows), version),
        )

    def close(self) -> None:
        """Publishes what the models' logs have closed, as far as that takes no longer than some seconds."""
        self._publisher.close()

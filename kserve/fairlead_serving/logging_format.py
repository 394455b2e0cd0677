"""How the server writes what it has to say: lines for people, or JSON for log collectors."""

import datetime as dt
import logging

import orjson

FORMATS = ("text", "json")


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: time (ISO 8601, UTC), level, logger, message, and error with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Writes one record."""
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat()
        content = {"time": moment, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            content["error"] = self.formatException(record.exc_info)
        return orjson.dumps(content, default=str).decode()


def start_logging(level: str, form: str) -> None:
    """Sends the log to stderr.

    Args:
        level: The lowest level that is written.
        form: One of FORMATS.
    """
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)

"""Finds a failed task's own error in the log; kfp.local itself names only the task."""

import re
import textwrap
from pathlib import Path

_TRACEBACK = "Traceback (most recent call last):"
_ERROR = re.compile(r"^(?:[\w.]+\.)?(?P<type>\w+(?:Error|Exception|Exit|Interrupt|Warning)): ?(?P<text>.*)$")
_LAST_LINES = 12


def task_error(log: Path, start: int, end: int) -> str:
    """Reads what a task died of.

    Args:
        log: The run's log.
        start: Where the task's part begins, in bytes.
        end: Where it ends.

    Returns:
        The text of a fairlead error alone; another exception with its type; else the last lines that the task wrote.
    """
    with log.open("rb") as stream:
        stream.seek(start)
        part = stream.read(max(0, end - start)).decode(errors="replace")
    lines = textwrap.dedent(_after_last_traceback(part)).splitlines()
    for number, line in enumerate(lines):
        found = _ERROR.match(line)
        if found:
            rest = [text.rstrip() for text in lines[number + 1 :]]
            text = "\n".join([found["text"], *rest]).strip()
            return text if "fairlead.errors." in line else f"{found['type']}: {text}"
    tail = [line.rstrip() for line in part.splitlines() if line.strip()]
    return "\n".join(tail[-_LAST_LINES:]) or "the task ended without a word"


def _after_last_traceback(part: str) -> str:
    """The part's last traceback, its frames (indented lines) included, up to kfp's own closing line."""
    _, _, last = part.rpartition(_TRACEBACK)
    kept = []
    for line in last.splitlines()[1:]:
        if re.match(r"^\d\d:\d\d:\d\d\.\d+ - (INFO|ERROR|WARNING)", line.strip()):
            break
        kept.append(line)
    return "\n".join(kept)

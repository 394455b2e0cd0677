"""What happened at each step, as JSON lines in the work folder: for the tracking server, while training goes on.

A line is `{"step", "time", "train_loss_step", "learning_rate"}`, or `{"step", "time", "epoch", …figures}` for an epoch.
"""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FILE = "trace.jsonl"


class Trace:
    """The trace of one training."""

    def __init__(self, folder: Path | None) -> None:
        """Opens the trace in a folder; None traces nothing."""
        self.path = folder / FILE if folder is not None else None
        self.written = 0  # steps, over the whole training

    def resume(self, steps: int) -> None:
        """Forgets what happened after so many steps, because it is about to happen again."""
        self.written = steps
        if self.path is not None:
            kept = [line for line in read(self.path) if line["step"] <= steps]
            self.path.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def tell_steps(self, first: int, losses: Sequence[float], rates: Sequence[float]) -> None:
        """Appends the steps that are not yet there.

        Args:
            first: The number of the first one, from 1 over the whole training.
            losses: Of the steps from the first on.
            rates: Their learning rates.
        """
        new = range(max(0, self.written + 1 - first), len(losses))
        self._append(
            {"step": first + i, "time": time.time(), "train_loss_step": losses[i], "learning_rate": rates[i]}
            for i in new
        )
        self.written = max(self.written, first + len(losses) - 1)

    def tell_epoch(self, step: int, epoch: int, figures: dict[str, float]) -> None:
        """Appends the figures of an epoch that ended with a step."""
        self._append([{"step": step, "time": time.time(), "epoch": epoch, **figures}])

    def _append(self, lines: Iterable[dict[str, Any]]) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))


def read(path: Path) -> list[dict[str, Any]]:
    """Reads a trace; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]

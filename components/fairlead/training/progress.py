"""Tells how far a training is, at which rate and how long it still takes, and holds it to its budget."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead import atomic, datasets, progress
from fairlead.errors import BudgetError
from fairlead.training.job import Job
from fairlead.training.recipes.protocol import Epoch
from fairlead.training.spec import BudgetSpec

SPENT = "spent.json"
_SECONDS_BETWEEN_NOTES = 5.0
_HOUR = 3600.0


def nothing(_done: float, _epoch: Epoch | None) -> None:
    """An observer that tells nothing."""


class Spending:
    """The time that a training has taken, over all its attempts, against its budget."""

    def __init__(self, work: Path, budget: BudgetSpec, machines: int = 1) -> None:
        """Starts the clock; what attempts before took is read from the work folder."""
        self.path, self.budget, self.machines = work / SPENT, budget, machines
        self.before = float(json.loads(self.path.read_text())["seconds"]) if self.path.is_file() else 0.0
        self.started = self.noted = time.monotonic()

    @property
    def seconds(self) -> float:
        """Of training, all attempts together."""
        return self.before + time.monotonic() - self.started

    def note(self, *, now: bool = False) -> None:
        """Keeps the time for an attempt to come, every few seconds, and stops a training that is too long.

        Raises:
            BudgetError: Its time, or what its time costs, is above the budget.
        """
        moment = time.monotonic()
        if now or moment - self.noted >= _SECONDS_BETWEEN_NOTES:
            self.noted = moment
            atomic.write_json(self.path, {"seconds": self.seconds})
        check_budget(self.budget, self.seconds, 0.0, self.machines)


def cost_of(budget: BudgetSpec, seconds: float, kilowatt_hours: float, machines: int = 1) -> float:
    """What a training costs, in the currency of the budget's prices."""
    return seconds / _HOUR * machines * budget.price_per_hour + kilowatt_hours * budget.price_per_kilowatt_hour


def check_budget(budget: BudgetSpec, seconds: float, kilowatt_hours: float, machines: int = 1) -> None:
    """Refuses what is above a budget.

    Raises:
        BudgetError: With the figure, the limit and what to do.
    """
    used = {
        "seconds": seconds,
        "cost": cost_of(budget, seconds, kilowatt_hours, machines),
        "kilowatt_hours": kilowatt_hours,
    }
    for name, value in used.items():
        limit = getattr(budget, name)
        if limit is not None and value > limit:
            raise BudgetError(
                f"training used {name} {value:.4g}, and train.budget.{name} allows {limit:g}; raise it and run again "
                "(training goes on from its last snapshot), or train less: fewer epochs, fewer rows, a smaller model"
            )


class Teller:
    """An observer: progress with the rate of rows, the epoch's figures and the time left; and the budget's guard."""

    def __init__(self, step: progress.Step, rows: int, spending: Spending) -> None:
        """Wraps a step of progress; `rows` are those of one epoch."""
        self.step, self.rows, self.spending = step, rows, spending
        self.begun: tuple[float, float] | None = None  # when, and the epochs that were done then

    @classmethod
    @contextmanager
    def of(cls, job: Job, work: Path) -> "Iterator[Teller]":
        """Tells of a job, from now to the end of the block."""
        rows = datasets.read_manifest(job.train).row_count
        with progress.step("training", total=job.recipe().length(job.spec)) as step:
            nodes = int(os.environ.get("GROUP_WORLD_SIZE", "1"))  # torchrun's word for them
            teller = cls(step, rows, Spending(work, job.spec.budget, nodes))
            yield teller
            teller.spending.note(now=True)

    def __call__(self, epochs_done: float, epoch: Epoch | None) -> None:
        """Tells how far training is; epochs that an attempt before has done do not count for the rate."""
        now = time.monotonic()
        if self.begun is None or not epochs_done:
            self.begun = (now, epochs_done)
            if not epochs_done:
                self.spending.started = now
        since, before = self.begun
        figures = self._rate(epochs_done - before, now - since, epochs_done)
        if epoch is not None:
            figures |= {name.removeprefix("validation_"): value for name, value in epoch.validation.items()}
        self.step.update(epochs_done, **figures)
        self.spending.note()

    def _rate(self, epochs: float, seconds: float, done: float) -> dict[str, float]:
        if epochs <= 0 or seconds <= 0:
            return {}
        left = max(0.0, (self.step.total or 0.0) - done) * seconds / epochs
        return {"rows_per_second": round(self.rows * epochs / seconds), "seconds_left": round(left, 1)}

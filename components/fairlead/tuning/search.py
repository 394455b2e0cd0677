"""The search itself: what is tried next, what became of it, and when it is over."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.errors import ConfigurationError, DataError, FairleadError, nearest
from fairlead.tuning.sampling import Values
from fairlead.tuning.spec import Objective, TuneSpec
from fairlead.tuning.stopping import Rule, make_rule
from fairlead.tuning.study import FAILED, STOPPED, SUCCEEDED, Asked, Report, Study, TrialRecord

Figures = Mapping[str, float]
Hear = Callable[[Figures], None]  # called after each epoch with its figures; raises `TrialStopped`
Evaluate = Callable[[Values, Hear], Figures]
Tell = Callable[[list[TrialRecord]], None]

MOST_ATTEMPTS = 2  # a trial whose process died so often has failed: it may well be what killed it
# What a training may raise, a user's own recipe included. A defect of another kind ends the search.
TRIAL_ERRORS = (FairleadError, ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)

logger = logging.getLogger(__name__)


class TrialStopped(Exception):  # noqa: N818 (no error: a trial that went badly is stopped)
    """Raised inside a trial to end it early."""


@dataclass
class Running:
    """A trial under way.

    Attributes:
        asked: Its place and values.
        worker: Which process runs it.
        rule: When it is stopped.
        started: On the monotonic clock, in seconds.
        heard: The figures after each epoch.
        curve: The objective's metric after each epoch.
    """

    asked: Asked
    worker: int
    rule: Rule
    started: float
    heard: list[Figures] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)
    succeeded: bool = False

    @property
    def number(self) -> int:
        """Its place in the search."""
        return self.asked.place


class Search:
    """One search: gives trials out, takes their results, and knows when it is over."""

    def __init__(self, study: Study, spec: TuneSpec, tell: Tell | None = None) -> None:
        """Takes up a search where its study stands; `tell` is called with all ended trials at every change."""
        self.study, self.spec, self.tell = study, spec, tell or (lambda _done: None)
        self.done = study.records()
        self.running: dict[int, Running] = {}
        self.refused: ConfigurationError | None = None
        self.before, self.began = study.elapsed(), time.monotonic()
        self.tell(self.done)

    def elapsed(self) -> float:
        """Seconds that the search has taken, those of earlier, killed runs included."""
        return self.before + time.monotonic() - self.began

    def over(self) -> bool:
        """Whether no trial is to start any more."""
        late = self.spec.maximum_seconds is not None and self.elapsed() >= self.spec.maximum_seconds
        return late or len(self.done) + len(self.running) >= self.spec.max_trials or ended(self.done, self.spec)

    def start(self, worker: int = 0) -> Running:
        """Begins the next trial; only while the search is not `over`."""
        asked = self.study.ask()
        rule = make_rule(self.spec, asked.place, lambda: [*self.done, *self.running.values()])
        running = self.running[asked.place] = Running(asked, worker, rule, time.monotonic())
        return running

    def hear(self, running: Running, figures: Figures) -> bool:
        """Takes an epoch's figures.

        Returns:
            Whether the trial is to be stopped; also where the recipe tells no such metric as the search aims at, which
            `stop` then refuses: to fail all trials one by one would help nobody.
        """
        try:
            check_told(figures, self.spec.objective)
        except ConfigurationError as error:
            self.refused = error
            return True
        running.heard.append(figures)
        running.curve.append(figures[self.spec.objective.metric])
        return running.rule(running.curve)

    def succeed(self, running: Running, kept: Figures) -> None:
        """Ends a trial well, unless its figures are no numbers.

        Args:
            running: The trial.
            kept: The figures of the epoch whose weights are kept.

        Raises:
            ConfigurationError: The recipe tells no such metric as the search aims at.
        """
        try:
            figures = count_figures(kept, running.heard, self.spec.objective)
        except DataError as error:
            self.fail(running, str(error))
            return
        self._end(running, SUCCEEDED, figures=figures, metric=figures[self.spec.objective.metric])

    def stop(self, running: Running) -> None:
        """Ends a trial that its rule has stopped.

        Raises:
            ConfigurationError: The recipe tells no such metric as the search aims at.
        """
        if self.refused is not None:
            raise self.refused
        figures = {name: running.heard[-1][name] for name in self.spec.objective.metrics}
        if all(math.isfinite(value) for value in [*figures.values(), *running.curve]):
            self._end(running, STOPPED, figures=figures, metric=running.curve[-1])
        else:
            self.fail(running, f"a figure is not finite: {figures}")

    def fail(self, running: Running, error: str) -> None:
        """Ends a trial that failed."""
        logger.warning("trial %d with %s failed: %s", running.number, running.asked.values, error)
        running.curve = [value for value in running.curve if math.isfinite(value)]
        self._end(running, FAILED, error=error)

    def lose(self, running: Running, reason: str) -> None:
        """Takes back a trial whose process died: it is tried once more."""
        if running.asked.attempt >= MOST_ATTEMPTS:
            self.fail(running, f"{reason}, {MOST_ATTEMPTS} times")
            return
        logger.warning("trial %d: %s; it is tried again", running.number, reason)
        del self.running[running.number]
        self.study.try_again(running.asked)

    def _end(
        self, running: Running, state: str, *, metric: float | None = None, figures: Figures | None = None,
        error: str = "",
    ) -> None:  # fmt: skip
        seconds = time.monotonic() - running.started
        self.study.tell(
            running.asked,
            Report(
                state, running.asked.values, seconds, self.elapsed(), running.worker, metric, error,
                figures or {}, running.curve,
            ),
        )  # fmt: skip
        del self.running[running.number]
        self.done = self.study.records()
        self.tell(self.done)


def check_told(figures: Figures, objective: Objective) -> None:
    """Refuses a search for a metric that its recipe does not tell.

    Raises:
        ConfigurationError: A metric is absent; the nearest that is told is named.
    """
    for name in objective.metrics:
        if name not in figures:
            key = "objectiveMetricName" if name == objective.metric else "additionalMetricNames"
            raise ConfigurationError(f"tuning.objective.{key}: no trial tells {name!r}; {nearest(name, figures)}")


def count_figures(kept: Figures, heard: Sequence[Figures], objective: Objective) -> dict[str, float]:
    """Gives the value of each metric that counts, by its strategy.

    Args:
        kept: The figures of the epoch whose weights are kept.
        heard: The figures after each epoch.
        objective: The metrics and their strategies.

    Returns:
        The objective's metric and the additional ones.

    Raises:
        ConfigurationError: A metric is not among the figures.
        DataError: A value is not finite.
    """
    check_told(kept, objective)
    counted = {}
    for name in objective.metrics:
        strategy, values = objective.strategy(name), [figures[name] for figures in [*heard, kept]]
        counted[name] = kept[name] if strategy == "latest" else min(values) if strategy == "min" else max(values)
        if not all(map(math.isfinite, values)):
            raise DataError(f"{name} was not finite: {values}; nothing can be concluded from that")
    return counted


def run_here(search: Search, evaluate: Evaluate) -> None:
    """Runs trials in this process, one after another, until the search is over.

    Args:
        search: The search.
        evaluate: Trains with values, calls back after each epoch, and gives the kept epoch's figures.
    """
    while not search.over():
        running = search.start()

        def hear(figures: Figures, running: Running = running) -> None:
            if search.hear(running, figures):
                raise TrialStopped

        try:
            kept = evaluate(running.asked.values, hear)
        except TrialStopped:
            search.stop(running)
        except TRIAL_ERRORS as error:
            search.fail(running, explain(error))
        else:
            search.succeed(running, kept)


def explain(error: BaseException) -> str:
    """A failed trial's reason in a line or a few."""
    return f"{type(error).__name__}: {error}"


def ended(done: Sequence[TrialRecord], spec: TuneSpec) -> bool:
    """Whether a search with these trials is over: enough trials, too many failures, or the goal reached."""
    failed = sum(record.state == FAILED for record in done)
    return len(done) >= spec.max_trials or failed >= (spec.max_failed_trials or spec.max_trials) or _reached(done, spec)


def _reached(done: Sequence[TrialRecord], spec: TuneSpec) -> bool:
    goal, metrics = spec.objective.goal, [record.metric for record in done if record.succeeded]
    return goal is not None and any(
        metric is not None and not spec.objective.is_better(goal, metric) for metric in metrics
    )

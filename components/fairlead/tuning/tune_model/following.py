"""Follows an Experiment to its end: progress, time limits, what hangs, and why."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fairlead import progress
from fairlead.errors import PlatformError
from fairlead.platform.kubeflow.experiments import ExperimentClient, Seen, is_over
from fairlead.tuning.experiment import OVERHEAD_SECONDS
from fairlead.tuning.outcome import read_state, read_trials
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.study import TrialRecord

POLL_SECONDS = 2.0
EXPLAIN_SECONDS = 60.0  # without news

logger = logging.getLogger(__name__)


class StuckError(PlatformError):
    """The Experiment will not come to an end."""


@dataclass
class Follower:
    """Follows one Experiment.

    Attributes:
        client: The Experiment.
        spec: The search.
        best: The best figure of the trials that have ended, for progress.
        reasons: What the cluster noted of each trial that failed: its pod leaves, and takes all that it says along.
    """

    client: ExperimentClient
    spec: TuneSpec
    best: Callable[[Sequence[TrialRecord]], dict[str, float]]
    reasons: dict[str, list[str]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _news: float = field(default_factory=time.monotonic)
    _explained: float = field(default_factory=time.monotonic)

    def follow(self) -> Seen:
        """Waits until it is over, or the search's time is.

        Returns:
            The Experiment as it was then.

        Raises:
            StuckError: It hangs.
            PlatformError: It is gone, or the cluster is out of reach.
        """
        before = ""
        with progress.step("tuning", total=self.spec.max_trials) as step:
            while True:
                seen = self.client.look()
                if seen is not None:
                    if seen.fingerprint != before:
                        before, self._news, self._explained = seen.fingerprint, time.monotonic(), time.monotonic()
                        self._tell(seen, step)
                    if self._over(seen):
                        return seen
                    self._mind(seen)
                time.sleep(POLL_SECONDS)

    def _tell(self, seen: Seen, step: progress.Step) -> None:
        records = read_trials(seen.trials, self.spec)
        running = sum(not is_over(trial) for trial in seen.trials)
        step.update(len(records), running=running, **self.best(records))
        for trial in seen.trials:
            name = trial["metadata"]["name"]
            if name not in self.reasons and _failed(trial):
                self.reasons[name] = self.client.explain_trial(name)

    def _over(self, seen: Seen) -> bool:
        """Whether nothing more is to come: Katib is done and the trials that it had started are, or time is up."""
        state = read_state(seen.experiment)
        if state.over:
            return state.phase == "failed" or all(map(is_over, seen.trials)) or self._silent_seconds() > self._longest()
        limit = self.spec.maximum_seconds
        if limit is None or seen.age_seconds < limit:
            return False
        cut = sum(not is_over(trial) for trial in seen.trials)
        logger.warning("tuning.maximum_seconds %d is over: the search ends, and %d trials are cut off", limit, cut)
        return True

    def _mind(self, seen: Seen) -> None:
        """Says what keeps a search that has no news, and gives it up when it has none for too long."""
        silent = self._silent_seconds()
        patience = self.spec.pod.wait_seconds + (self._longest() if seen.trials else 0)
        if silent > patience:
            raise StuckError(
                f"the Experiment {self.client.name} has not moved for {silent:.0f} s and is given up (tuning.pod."
                f"wait_seconds {self.spec.pod.wait_seconds}); the cluster says:\n" + _listed(self.client.explain())
            )
        if time.monotonic() - self._explained > EXPLAIN_SECONDS:
            self._explained = time.monotonic()
            new = [line for line in self.client.explain() if line not in self._told]
            self._told.update(new)
            if new:
                logger.warning("no news of %s for %.0f s:\n%s", self.client.name, silent, _listed(new))

    def _silent_seconds(self) -> float:
        return time.monotonic() - self._news

    def _longest(self) -> float:
        """The longest that a trial may be silent: its Job has a deadline."""
        return self.spec.trial_seconds + OVERHEAD_SECONDS


def _failed(trial: dict[str, object]) -> bool:
    status = trial.get("status")
    conditions = status.get("conditions") or [] if isinstance(status, dict) else []
    return any(c.get("type") in ("Failed", "MetricsUnavailable") and c.get("status") == "True" for c in conditions)


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "- nothing, in no event and no pod"

"""The rollout engine: steps of growing traffic, each judged, over any target.

It may be killed at any moment: its state is written before and after everything that it does, each verb may be
repeated, and a target takes the canary's traffic away when nobody judges it any more.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import log

from fairlead import progress
from fairlead.deployment.judge import Judge
from fairlead.deployment.records import Event, Look, Outcome, Phase, RolloutState, Verb
from fairlead.deployment.sequential import split_log_e
from fairlead.deployment.spec import SHADOW, RolloutSpec, Step
from fairlead.errors import PlatformError
from fairlead.platform.target import ObservedSplit, RolloutTarget

logger = logging.getLogger(__name__)

_SPLIT_ALPHA = 0.001  # the chance, at each step, of taking a split for wrong that is right
_ENOUGH_EXPECTED, _GROSS = 100, 5  # of users: requests that the canary should have got; how far off is too far
_MOST_LOOKS = 1000  # kept for the report; then every second one goes


def _nothing() -> None:
    return None


@dataclass
class Rollout:
    """One rollout under way.

    Attributes:
        target: What it acts upon.
        spec: How.
        state: Where it is.
        save: Writes the state down.
        on_promotion: Called when the canary has all traffic, before the old version goes.
        commanded: What somebody wants by hand, if anything.
        clock: Seconds that only grow.
        sleep: Waits.
    """

    target: RolloutTarget
    spec: RolloutSpec
    state: RolloutState
    save: Callable[[RolloutState], None]
    on_promotion: Callable[[], None] = _nothing
    commanded: Callable[[], Verb | None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        self.judge = Judge(self.spec)
        if self.state.judge:
            self.judge.restore(self.state.judge)

    def run(self) -> RolloutState:
        """Goes on from where the state is, to the end.

        Returns:
            The state, with the outcome and its reasons.

        Raises:
            PlatformError: The target does not do its part; the next run goes on from here.
        """
        try:
            if self.state.phase == "stepping":
                self._walk()
            self._finish()
        except KeyboardInterrupt:
            self._pause()
            raise
        return self.state

    def _walk(self) -> None:
        """Goes through the steps until the outcome is decided."""
        if not self.target.has_stable:
            self._decide("promoted", "it is the first version: there is nothing to compare it with")
            return
        steps = self.spec.steps
        with progress.step(f"rolling out {self.state.name} version {self.state.version}", total=100) as shown:
            while self.state.phase == "stepping" and self.state.step < len(steps):
                self._take_step(steps[self.state.step], shown)
        if self.state.phase == "stepping":
            self._decide("promoted", f"it passed all {len(steps)} steps; no check showed it to be worse than allowed")

    def _take_step(self, step: Step, shown: progress.Step) -> None:
        """Gives the canary its share and looks at the evidence until this step is decided."""
        state, shadow = self.state, step == SHADOW
        percent = 0.0 if isinstance(step, str) else step
        if state.step_seconds == 0:
            self.judge.begin_step()
        self.save(state)  # first: whoever finds a canary with traffic must find who gave it
        self.target.apply_split(percent, self.spec.shadow_percent if shadow else 0.0)
        if state.cursor is None:
            before = self.target.read_metrics(None)
            self.judge.prepare(before.stable)
            state.cursor = dict(before.cursor)
        copies = f"copies of {self.spec.shadow_percent:g} % of the requests"
        self._note(copies if shadow else f"{percent:g} % of the traffic")
        looked, index = self.clock(), state.step
        while state.phase == "stepping" and state.step == index:
            self.sleep(self.spec.look_seconds)
            now = self.clock()
            self._look(percent, now - looked, shadow=shadow)
            looked = now
            shown.update(percent, canary_requests=self.judge.step_requests, seconds=state.step_seconds)

    def _look(self, percent: float, elapsed: float, *, shadow: bool) -> None:
        """Takes one window of evidence, and decides what it allows."""
        state = self.state
        state.seconds += elapsed
        try:
            window, split = self.target.read_metrics(state.cursor), self.target.observe_split()
        except PlatformError as error:
            self._endure(error, elapsed)
            return
        state.step_seconds, state.blind_seconds = state.step_seconds + elapsed, 0.0
        state.silence.take(window, state.seconds)
        decision = self.judge.look(window, shadow=shadow)
        state.cursor, state.judge = dict(window.cursor), self.judge.state()
        self._remember(percent, split)
        word = self.commanded()
        if word:
            self._decide("promoted" if word == "promote" else "rolled_back", f"{word} was asked for by hand")
        elif trouble := window.trouble or state.silence.complaint(state.seconds):
            self._decide("rolled_back", trouble)
        elif decision == "roll_back":
            worse = [finding.describe() for finding in self.judge.findings() if finding.rejected]
            self._decide("rolled_back", *worse)
        elif contradiction := split_contradiction(split, percent):
            self._decide("inconclusive", contradiction)
        elif decision == "go_on":
            self._next_step()
        elif state.step_seconds >= self.spec.step_timeout_seconds:
            self._run_out_of_time(percent)
        self.save(state)

    def _endure(self, error: PlatformError, elapsed: float) -> None:
        """Waits for metrics that cannot be read now; nobody judges a canary blindly for long."""
        state = self.state
        if state.blind_seconds == 0:
            logger.warning("%s: %s", state.name, error)
        state.blind_seconds += elapsed
        word = self.commanded()
        if word:
            self._decide("promoted" if word == "promote" else "rolled_back", f"{word} was asked for by hand")
        elif state.blind_seconds > self.spec.blind_seconds:
            self._decide("inconclusive", f"its metrics could not be read for {state.blind_seconds:.0f} s: {error}")
        self.save(state)

    def _run_out_of_time(self, percent: float) -> None:
        seen, needed, seconds = self.judge.step_requests, self.spec.minimum_requests, self.state.step_seconds
        where = f"at {percent:g} %" if percent else "as a shadow"
        if not self.judge.enough:
            self._decide(
                "inconclusive",
                f"{where} the canary got {seen} requests in {seconds:.0f} s, {needed} are needed: send more "
                f"traffic, or change rollout.minimum_requests or rollout.step_timeout_seconds",
            )
        elif held := self.judge.held:
            more = [f"about {finding.missing} more of its requests would settle it" for finding in held]
            found = [finding.describe() for finding in held]
            self._decide("inconclusive", *(f"{where}, {f}: suspicious; {m}" for f, m in zip(found, more, strict=True)))
        else:
            self._next_step()

    def _next_step(self) -> None:
        self.state.step += 1
        self.state.step_seconds = 0.0

    def _decide(self, outcome: Outcome, *reasons: str) -> None:
        state = self.state
        phase: Phase = "promoting" if outcome == "promoted" else "rolling_back"
        state.phase, state.outcome, state.reasons = phase, outcome, list(reasons)
        self._note(f"{outcome}: {'; '.join(reasons)}")
        self.save(state)

    def _finish(self) -> None:
        """Does what was decided; begun again after a crash, it does what is left."""
        if self.state.phase == "promoting":
            if self.target.has_stable:
                self.target.apply_split(100)
            self.on_promotion()
            self.target.promote()
        elif self.state.phase == "rolling_back":
            self.target.roll_back()
        self.state.phase = "done"
        self.save(self.state)

    def _pause(self) -> None:
        """Takes the canary's traffic away when the user interrupts; the next run gives it back."""
        if self.state.phase == "stepping" and self.target.has_stable:
            try:
                self.target.apply_split(0)
            except PlatformError as error:
                logger.warning("the canary keeps its traffic until its lease ends: %s", error)

    def _note(self, what: str) -> None:
        step = self.spec.steps[min(self.state.step, len(self.spec.steps) - 1)]
        percent = 0.0 if isinstance(step, str) else step
        self.state.events.append(Event(seconds=round(self.state.seconds, 2), percent=percent, what=what))
        logger.info("%s: %s", self.state.name, what)

    def _remember(self, percent: float, split: ObservedSplit) -> None:
        checks = {
            f.metric: (f.log_e, f.interval.estimate, f.interval.lower, f.interval.upper) for f in self.judge.findings()
        }
        seconds = round(self.state.seconds, 3)
        look = Look(seconds=seconds, percent=percent, canary=split.canary, stable=split.stable, checks=checks)
        self.state.looks.append(look)
        if len(self.state.looks) > _MOST_LOOKS:
            self.state.looks = self.state.looks[::2]


def split_contradiction(split: ObservedSplit, percent: float) -> str:
    """Tells how the split that happened contradicts the one that was asked for; empty if it does not."""
    if split.mismatch:
        return f"the split is not the one that was asked for: {split.mismatch}"
    total = split.canary + split.stable
    if percent <= 0:
        return f"the canary should get copies only, and got {split.canary} requests" if split.canary else ""
    share = percent / 100
    doubted = _grossly_wrong(split, share) if split.sticky else _doubted(split, share)
    if percent >= 100 or not doubted:  # noqa: PLR2004 (per cent)
        return ""
    return (
        f"the split is not the one that was asked for: {split.canary} of {total} requests "
        f"({100 * split.canary / total:.2f} %) went to the canary, {percent:g} % were asked for"
    )


def _doubted(split: ObservedSplit, share: float) -> bool:
    return share < 1 and split_log_e(split.canary, split.stable, share) >= -log(_SPLIT_ALPHA)


def _grossly_wrong(split: ObservedSplit, share: float) -> bool:
    """Whether a split of users cannot be the one that was asked for: how much each user sends is not known."""
    expected = share * (split.canary + split.stable)
    return expected >= _ENOUGH_EXPECTED and not expected / _GROSS <= split.canary <= expected * _GROSS

"""What no check sees: metrics that stay away, and a canary whose answers are no predictions.

The checks compare what was measured. A server that answers 200 with rubbish is measured as a success, but it has
predicted nothing, so its prediction log stays empty while that of the stable version beside it fills.
"""

from pydantic import BaseModel

from fairlead.platform.target import Window

_ENOUGH_ANSWERS = 50
_SETTLED_SECONDS = 10.0  # a log is written in batches; an answer's row may come this much later


class Silence(BaseModel):
    """What was answered, and how much of that was logged, since the rollout began.

    Attributes:
        canary_answers: Requests that the canary answered well.
        canary_logged: Predictions in its log.
        stable_logged: Predictions in the stable version's log.
        begun: When the canary's first answer was seen, in seconds of the rollout.
    """

    canary_answers: int = 0
    canary_logged: int = 0
    stable_logged: int = 0
    begun: float | None = None

    def take(self, window: Window, seconds: float) -> None:
        """Counts a window that was read when the rollout was so many seconds old."""
        self.canary_answers += window.canary.succeeded
        self.canary_logged += len(window.canary.scores)
        self.stable_logged += len(window.stable.scores)
        if self.begun is None and self.canary_answers:
            self.begun = seconds

    def complaint(self, seconds: float) -> str:
        """What is wrong with the canary; empty if nothing is."""
        settled = self.begun is not None and seconds - self.begun >= _SETTLED_SECONDS
        if not settled or self.canary_logged or not self.stable_logged or self.canary_answers < _ENOUGH_ANSWERS:
            return ""
        return (
            f"the canary answered {self.canary_answers} requests and logged no prediction, while the stable version "
            f"logged {self.stable_logged}: its answers cannot be predictions, or its log is broken"
        )

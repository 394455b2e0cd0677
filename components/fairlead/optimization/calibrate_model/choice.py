"""What was tried, and what was kept, on its way to package and report."""

from dataclasses import dataclass

import numpy as np

from fairlead.optimization.calibration import Calibration, Trial
from fairlead.optimization.thresholds import Threshold


@dataclass(frozen=True)
class Choice:
    """What was tried, and what was kept.

    Attributes:
        labels: (N,) of the validation rows.
        before: (N,) or (N, K), the model's own probabilities.
        trials: What was tried, on held-out folds.
        kept: The trial that was kept, if any.
        calibration: Fitted on all validation rows, if a trial was kept.
        reason: Why.
        threshold: As chosen, if a rule was given.
        old_threshold: The package's own.
    """

    labels: np.ndarray
    before: np.ndarray
    trials: list[Trial]
    kept: Trial | None
    calibration: Calibration | None
    reason: str
    threshold: Threshold | None
    old_threshold: float

    @property
    def after(self) -> np.ndarray:
        """The probabilities as the new package answers, float32."""
        made = self.before if self.calibration is None else self.calibration.apply(self.before)
        return np.asarray(made, dtype=np.float32)

"""What every judge gives back to its contract."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Judgement:
    """What came of judging a model.

    Attributes:
        outcome: `approved`, `rejected` or `inconclusive`.
        digest: The package that was judged; of a comparison the challenger.
        metrics: Flat figures, for a Metrics artifact and the report of the run; all finite.
    """

    outcome: str
    digest: str
    metrics: dict[str, float]

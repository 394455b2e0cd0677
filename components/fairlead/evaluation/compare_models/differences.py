"""How much worse one model is than another on the same rows: over rows, and over rows and trainings.

Every difference is a sum of means over rows (one mean for losses; two for the area under the ROC curve, whose
placements are resampled), so that rows or clusters of rows can be resampled without scoring anything again.

Over trainings: S models of one recipe, trained with different seeds, and N rows, which all models share, are crossed.
The variance of the mean difference is that between seeds divided by S, plus that between rows for the S models taken
together (the bootstrap over rows of their mean difference). Resampling both ways is the pigeonhole bootstrap (Owen
2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1), whose variance is the same sum, slightly too large
since what seeds and rows do together is in both parts. With a handful of seeds, quantiles of resampled seeds are too
narrow; so the interval is Student's with Satterthwaite's degrees of freedom (1946), as for readers and cases in studies
of diagnoses (Hillis 2007, "A comparison of denominator degrees of freedom methods for multiple observer ROC analysis").
That a figure without the noise of training says little about a recipe: Bouthillier et al. 2021, "Accounting for
variance in machine learning benchmarks".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairlead.evaluation.comparison_spec import AREA, ComparisonSpec
from fairlead.evaluation.intervals import placements
from fairlead.evaluation.resampling import Interval, Resampling
from fairlead.evaluation.scoring import Scores


@dataclass(frozen=True)
class Excess:
    """How much worse a model is than the champion, row by row.

    Attributes:
        parts: Each (N,) float64, NaN where a row is no part of it; the difference is the sum of their means, minus
            `offset`. N is the number of rows, or of groups for a ranking.
        offset: For the area under the ROC curve the difference itself, which both of its means are; else 0.
    """

    parts: tuple[np.ndarray, ...]
    offset: float = 0.0

    @property
    def difference(self) -> float:
        """The difference; above 0 the model is worse."""
        return float(sum(np.nanmean(part) for part in self.parts)) - self.offset

    def sums(self, drawn: Resampling) -> list[np.ndarray]:
        """Sums and counts of each part, by unit."""
        found = []
        for part in self.parts:
            defined = np.isfinite(part)
            found += [drawn.sums(np.where(defined, part, 0.0)), drawn.sums(defined.astype(np.float64))]
        return found

    def of_totals(self, *totals: np.ndarray) -> np.ndarray:
        """The difference of totals: sum and count of each part."""
        means = [top / count for top, count in zip(totals[::2], totals[1::2], strict=True)]
        return np.asarray(sum(means) - self.offset)


def excess(
    scores: Scores, model: str, champion: str, metric: str, threshold: dict[str, float], spec: ComparisonSpec
) -> Excess:
    """Compares two models row by row.

    Args:
        scores: Both models' predictions.
        model: The one.
        champion: The other.
        metric: The figure.
        threshold: By model, the probability from which its answer is yes.
        spec: Of a ranking, the ranks that count.
    """
    if metric == AREA:
        return _area(scores.labels, scores.predictions[champion], scores.predictions[model])
    ours = scores.losses(model, metric, cutoff=spec.cutoff, threshold=threshold[model])
    theirs = scores.losses(champion, metric, cutoff=spec.cutoff, threshold=threshold[champion])
    return Excess((ours - theirs,))


def _area(labels: np.ndarray, better: np.ndarray, worse: np.ndarray) -> Excess:
    parts = []
    for value, ours, theirs in zip((1, 0), placements(labels, worse), placements(labels, better), strict=True):
        part = np.full(labels.size, np.nan)
        part[labels == value] = theirs - ours
        parts.append(part)
    return Excess(tuple(parts), float(np.nanmean(parts[0])))


def over_rows(found: Excess, drawn: Resampling) -> Interval:
    """The interval of the difference of these very models, on other rows of the same kind."""
    return drawn.interval(found.of_totals, *found.sums(drawn))


@dataclass(frozen=True)
class TrainingInterval:
    """The difference over rows and trainings.

    Attributes:
        interval: Of the mean difference over trainings.
        differences: (S,), of each training.
        rows_error: The standard error that comes from the rows.
        seeds_error: The standard error that comes from the trainings.
        degrees: Of freedom of Student's distribution.
    """

    interval: Interval
    differences: np.ndarray
    rows_error: float
    seeds_error: float
    degrees: float


def over_training(found: Sequence[Excess], drawn: Resampling) -> TrainingInterval:
    """The interval of the mean difference over trainings of one recipe.

    Args:
        found: Of each of S trainings, at least 2, on the same rows.
        drawn: The resampling of these rows.
    """
    from scipy import special

    differences = np.array([one.difference for one in found])
    together = Excess(
        tuple(np.mean(parts, axis=0) for parts in zip(*(one.parts for one in found), strict=True)),
        float(np.mean([one.offset for one in found])),
    )
    resampled = together.of_totals(*(drawn.draw(sums) for sums in together.sums(drawn)))
    seeds, units = len(found), drawn.independent
    rows_variance = float(np.var(resampled[np.isfinite(resampled)], ddof=1))
    seeds_variance = float(np.var(differences, ddof=1)) / seeds
    total = rows_variance + seeds_variance
    spent = seeds_variance**2 / (seeds - 1) + rows_variance**2 / max(units - 1, 1)
    degrees = total**2 / spent if spent else float(units - 1)
    half = float(special.stdtrit(degrees, (1 + drawn.confidence) / 2) * np.sqrt(total))
    mean = float(differences.mean())
    interval = Interval(mean, mean - half, mean + half)
    return TrainingInterval(
        interval, differences, float(np.sqrt(rows_variance)), float(np.sqrt(seeds_variance)), degrees
    )

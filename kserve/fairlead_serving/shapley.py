"""Shapley values by antithetic permutation sampling: how much each feature moved one prediction.

The value of a set S of features is the model's mean answer where the features of S are those of the row and all others
are those of a background row; a feature's Shapley value is its mean contribution over all orders in which features can
be set (E. Strumbelj and I. Kononenko, Explaining prediction models and individual predictions with feature
contributions, Knowl. Inf. Syst. 41, 2014; with independent replacement as argued by D. Janzing, L. Minorics and
P. Bloebaum, Feature relevance quantification in explainable AI: a causal problem, AISTATS 2020). Orders are drawn in
pairs, one and its reverse, which cancels the error that is linear in the position (R. Mitchell, J. Cooper, E. Frank and
G. Holmes, Sampling permutations for Shapley value estimation, JMLR 23, 2022).

Of each order, what the features move adds up to the prediction minus the background row's, so the sum of the values is
the prediction minus the base to the last digit, however few orders there are.

The library for this is shap. With what it needs (llvmlite, numba, scikit-learn, scipy) it is 380 MB, more than half of
what a serving image may have; its PermutationExplainer does the same and tests compare the two.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Evaluate = Callable[[np.ndarray, np.ndarray], np.ndarray]
FEWEST_PAIRS = 4


@dataclass(frozen=True)
class Budget:
    """What an explanation may cost.

    Attributes:
        pairs: The most pairs of orders.
        evaluations: The most rows that the model is asked for, but for the fewest pairs.
        seconds: After so long no further pairs are begun, once the fewest are there.
    """

    pairs: int = 64
    evaluations: int = 8192
    seconds: float = 2.0


@dataclass(frozen=True)
class Shapley:
    """The Shapley values of one row.

    Attributes:
        values: (M,) float64: what each feature moved the prediction by, from the base.
        errors: (M,) float64: their standard errors, from the spread between pairs of orders.
        base: The mean prediction of the background rows that were used.
        prediction: The row's; it is the base plus the sum of the values.
        pairs: Pairs of orders.
        background: How many different background rows were used.
        evaluations: Rows that the model was asked for.
    """

    values: np.ndarray
    errors: np.ndarray
    base: float
    prediction: float
    pairs: int
    background: int
    evaluations: int


def shapley_values(
    evaluate: Evaluate, features: int, background: int, budget: Budget | None = None, *, seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Shapley:  # fmt: skip
    """Estimates Shapley values.

    Args:
        evaluate: Takes masks (N, M) bool, True where a feature is the row's own, and background rows (N,) int64 for
            the others; gives the model's answers (N,).
        features: M, at least 1.
        background: How many background rows there are, at least 1.
        budget: What it may cost.
        seed: Of the orders; the same seed gives the same values.
        clock: Gives seconds.
    """
    budget = budget or Budget()
    rng = np.random.default_rng(seed)
    each = 2 * features - 1
    pairs = max(FEWEST_PAIRS, min(budget.pairs, budget.evaluations // each))
    rows = rng.permutation(background)[np.arange(pairs) % background]  # (P,)
    whole = float(evaluate(np.ones((1, features), bool), np.zeros(1, np.int64))[0])
    end, moved, bases = clock() + budget.seconds, list[np.ndarray](), list[np.ndarray]()
    at_once = max(1, 256 // each)
    for start in range(0, pairs, at_once):
        if start >= FEWEST_PAIRS and clock() >= end:
            break
        chosen = rows[start : start + at_once]
        found, base = _contributions(evaluate, rng, features, chosen, whole)
        moved.append(found)
        bases.append(base)
    contributions, base = np.concatenate(moved), np.concatenate(bases)  # (P, M), (P,)
    count = len(base)
    errors = contributions.std(axis=0, ddof=1) / np.sqrt(count)
    return Shapley(
        contributions.mean(axis=0), errors, float(base.mean()), whole, count, min(count, background), 1 + count * each
    )


def _contributions(
    evaluate: Evaluate, rng: np.random.Generator, features: int, rows: np.ndarray, whole: float
) -> tuple[np.ndarray, np.ndarray]:
    """What features move in one pair of orders per background row, and what those rows' predictions are."""
    pairs = len(rows)
    orders = np.argsort(rng.random((pairs, features)), axis=1)  # (P, M): the k-th feature that is set
    ranks = np.argsort(orders, axis=1)[:, None, :]  # (P, 1, M): when a feature is set
    steps = np.arange(1, features)[None, :, None]  # (1, M-1, 1)
    masks = np.concatenate([np.zeros((pairs, 1, features), bool), ranks < steps, ranks >= features - steps], axis=1)
    answers = evaluate(masks.reshape(-1, features), np.repeat(rows, masks.shape[1])).astype(np.float64)
    answers = answers.reshape(pairs, -1)  # (P, 2M-1)
    base, end = answers[:, :1], np.full((pairs, 1), whole)
    forward = np.diff(np.concatenate([base, answers[:, 1:features], end], axis=1), axis=1)  # (P, M) by step
    backward = np.diff(np.concatenate([base, answers[:, features:], end], axis=1), axis=1)
    found = np.empty((pairs, features))
    np.put_along_axis(found, orders, (forward + backward[:, ::-1]) / 2, axis=1)
    return found, base[:, 0]

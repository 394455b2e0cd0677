"""Corrections of p-values for how many were looked at."""

import numpy as np

from fairlead.evaluation.slice_spec import Correction


def corrected(p_values: np.ndarray, correction: Correction) -> np.ndarray:
    """Corrects p-values of one family.

    Args:
        p_values: (K,) within [0, 1].
        correction: `holm` or `benjamini-hochberg`.

    Returns:
        (K,) none smaller than what came: to reject where it is below alpha keeps the family's error below alpha.
    """
    if not len(p_values):
        return np.zeros(0)
    if correction == "holm":
        return holm(np.asarray(p_values, dtype=np.float64))
    from scipy import stats

    return np.asarray(stats.false_discovery_control(p_values, method="bh"))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down procedure, valid whatever the dependence between the tests.

    SciPy has false discovery control but none of the familywise error. (Holm 1979, "A simple sequentially rejective
    multiple test procedure".)

    Args:
        p_values: (K,) within [0, 1].

    Returns:
        (K,) within [0, 1].
    """
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(p_values.size, 0, -1)
    found = np.empty(p_values.size)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found

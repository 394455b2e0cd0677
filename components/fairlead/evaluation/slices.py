"""Figures of groups of rows, cut by the values of a column."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.evaluation.intervals import Interval, placements
from fairlead.evaluation.metrics import row_log_losses

if TYPE_CHECKING:
    import pyarrow as pa

MOST_VALUES = 200  # of one column; rarer ones are taken together
MOST_NUMBERS = 50  # a column of more distinct numbers is cut at its quintiles
MISSING = "(missing)"
OTHER = "(other values)"


@dataclass(frozen=True)
class SliceFigures:
    """The figures of one group.

    Attributes:
        column: What the rows were cut by.
        value: The group's value, as text.
        rows: Rows in it.
        base_rate: Share of rows whose label is 1.
        mean_probability: What the model expected of them on average.
        roc_auc: None where all labels in the group are alike.
        log_loss: In nats, with its normal interval.
        low_support: There are too few rows to conclude anything.
    """

    column: str
    value: str
    rows: int
    base_rate: float
    mean_probability: float
    roc_auc: float | None
    log_loss: Interval
    low_support: bool


def slice_figures(
    column: str, values: "pa.DictionaryArray", labels: np.ndarray, probabilities: np.ndarray, minimum_rows: int
) -> list[SliceFigures]:
    """Computes the figures of every group of one column.

    Args:
        column: The column's name.
        values: Its N values.
        labels: (N,) 0 or 1.
        probabilities: (N,) P(label=1).
        minimum_rows: A smaller group is marked.

    Returns:
        The groups, most rows first. Columns of many distinct numbers are cut at their quintiles.
    """
    names, codes = _groups(values)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    found = []
    for code, name in enumerate(names):
        rows = order[bounds[code] : bounds[code + 1]]
        if rows.size:
            found.append(_figures(column, name, labels[rows], probabilities[rows], minimum_rows))
    return sorted(found, key=lambda figures: (-figures.rows, figures.value))


def _figures(column: str, value: str, labels: np.ndarray, probabilities: np.ndarray, minimum: int) -> SliceFigures:
    losses = row_log_losses(labels, probabilities)
    mean = float(losses.mean())
    half = 1.96 * float(losses.std()) / np.sqrt(losses.size)
    both = 0 < labels.sum() < labels.size
    area = float(placements(labels, probabilities)[0].mean()) if both else None
    return SliceFigures(
        column, value, labels.size, float(labels.mean()), float(probabilities.mean()), area,
        Interval(mean, mean - half, mean + half), labels.size < minimum,
    )  # fmt: skip


def _groups(values: "pa.DictionaryArray") -> tuple[list[str], np.ndarray]:
    """The groups' names, and (N,) int64: which group each row is in."""
    import pyarrow as pa

    distinct, kind = values.dictionary, values.dictionary.type
    if (pa.types.is_floating(kind) or pa.types.is_integer(kind)) and len(distinct) > MOST_NUMBERS:
        return _quintiles(values.dictionary_decode().to_numpy(zero_copy_only=False).astype(np.float64))
    names = [MISSING if value is None else _text(value) for value in distinct.to_pylist()]
    codes = values.indices.fill_null(len(names)).to_numpy().astype(np.int64)
    return _common_only([*names, MISSING], codes)


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _common_only(names: list[str], codes: np.ndarray) -> tuple[list[str], np.ndarray]:
    if len(names) <= MOST_VALUES:
        return names, codes
    common = np.sort(np.argsort(-np.bincount(codes, minlength=len(names)), kind="stable")[: MOST_VALUES - 1])
    renamed = np.full(len(names), common.size, dtype=np.int64)
    renamed[common] = np.arange(common.size)
    return [*(names[code] for code in common), OTHER], renamed[codes]


def _quintiles(numbers: np.ndarray) -> tuple[list[str], np.ndarray]:
    absent = ~np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[~absent], [0, 0.2, 0.4, 0.6, 0.8, 1]))
    codes = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(len(edges) - 2, 0))
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)] or [f"{edges[0]:g}"]
    codes[absent] = len(names)
    return [*names, MISSING], codes

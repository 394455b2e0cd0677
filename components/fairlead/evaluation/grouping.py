"""Cutting rows into groups by the values of columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.errors import SchemaError
from fairlead.values import limit

if TYPE_CHECKING:
    import pyarrow as pa

MOST_VALUES = 200  # of one column; rarer ones are taken together
MOST_NUMBERS = 50  # a column of more distinct numbers is cut at its quintiles
QUINTILES = 5
MISSING = "(missing)"
OTHER = "(other values)"


@dataclass(frozen=True)
class Groups:
    """Rows cut by a column; every row is in one group.

    Attributes:
        names: Of the groups, as text: `EWR`, `10 to 20`.
        codes: (N,) int64, each row's group.
    """

    names: Sequence[str]
    codes: np.ndarray

    def members(self) -> list[tuple[str, np.ndarray]]:
        """The groups that have rows, each with the rows' positions in ascending order."""
        order = np.argsort(self.codes, kind="stable")
        bounds = np.searchsorted(self.codes[order], np.arange(len(self.names) + 1))
        parts = [(name, order[start:end]) for name, (start, end) in zip(self.names, pairwise(bounds), strict=True)]
        return [(name, rows) for name, rows in parts if rows.size]


def group(values: "pa.DictionaryArray") -> Groups:
    """Cuts rows by the values of a column; many distinct numbers are cut at their quintiles."""
    if is_number(values) and len(values.dictionary) > MOST_NUMBERS:
        return cut(numbers(values), QUINTILES)
    names = [MISSING if value is None else said(value) for value in values.dictionary.to_pylist()]
    codes = values.indices.fill_null(len(names)).to_numpy().astype(np.int64)
    return _common_only([*names, MISSING], codes)


def cut(values: np.ndarray, parts: int) -> Groups:
    """Cuts rows by a number into parts of about equal size; equal numbers stay together.

    Args:
        values: (N,) float64; what is not finite is a group of its own.
        parts: How many at most.
    """
    absent = ~np.isfinite(values)
    if absent.all():
        return Groups([MISSING], np.zeros(values.size, dtype=np.int64))
    edges = np.unique(np.quantile(values[~absent], np.linspace(0, 1, parts + 1)))
    codes = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
    names = [f"{limit(low)} to {limit(high)}" for low, high in pairwise(edges.tolist())] or [limit(edges[0])]
    codes[absent] = len(names)
    return Groups([*names, MISSING], codes)


def cross(first: Groups, second: Groups) -> Groups:
    """Cuts rows by the pairs of two columns' groups; the names are joined by a tab."""
    width = len(second.names)
    distinct, codes = np.unique(first.codes * width + second.codes, return_inverse=True)
    names = [f"{first.names[code // width]}\t{second.names[code % width]}" for code in distinct.tolist()]
    return Groups(names, codes.astype(np.int64))


def is_number(values: "pa.Array") -> bool:
    """Whether a column holds numbers (yes and no are none)."""
    import pyarrow as pa

    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def numbers(values: "pa.DictionaryArray", column: str = "") -> np.ndarray:
    """A column's numbers: (N,) float64, NaN where missing.

    Raises:
        SchemaError: It holds none.
    """
    import pyarrow as pa

    if not is_number(values):
        raise SchemaError(f"column {column!r} is of type {values.type}; only numbers can be cut into quantiles")
    distinct = values.dictionary.cast(pa.float64()).to_numpy(zero_copy_only=False)
    codes = values.indices.fill_null(len(distinct)).to_numpy()
    return np.asarray(np.append(np.asarray(distinct, dtype=np.float64), np.nan)[codes])


def said(value: Any) -> str:
    """A value as the name of its group."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _common_only(names: list[str], codes: np.ndarray) -> Groups:
    if len(names) <= MOST_VALUES:
        return Groups(names, codes)
    common = np.sort(np.argsort(-np.bincount(codes, minlength=len(names)), kind="stable")[: MOST_VALUES - 1])
    renamed = np.full(len(names), common.size, dtype=np.int64)
    renamed[common] = np.arange(common.size)
    return Groups([*(names[code] for code in common), OTHER], renamed[codes])

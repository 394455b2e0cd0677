"""A search for parts of the rows on which a model does worse than on the rest.

Beam search over conjunctions of simple conditions (Chung et al. 2019, "Slice Finder: automated data slicing for model
validation"; the counting by matrix products is that of Sagadeeva & Boehm 2021, "SliceLine"). What a search has found
looks bad on the rows that were searched, whether it is or not; so that half of the rows is searched, and a test on the
other half decides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.grouping import is_number, numbers, said
from fairlead.values import limit

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 16_384  # rows whose conditions are multiplied at once, as float32
MOST_CONDITIONS = 60  # of one column: its commonest values
MOST_OVERLAP = 0.5  # Jaccard: of two slices that share more than this, the second tells nothing new


@dataclass(frozen=True)
class Condition:
    """What the rows of a slice have in common in one column.

    Attributes:
        column: Its name.
        text: The condition in words: `carrier is EV`, `origin_temp from 70 on`.
        holds: (N,) bool.
    """

    column: str
    text: str
    holds: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """A slice that looked bad on the half that was searched.

    Attributes:
        conditions: Positions of its conditions in the list that was searched.
        rows: Rows of the searched half in it.
        gap: How much worse they were than the rest of that half.
        score: That gap in standard errors.
    """

    conditions: tuple[int, ...]
    rows: int
    gap: float
    score: float


def halves(count: int, seed: int, blocks: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Splits rows at random into those that are searched and those that decide.

    Args:
        count: N.
        seed: The same seed gives the same halves.
        blocks: (N,) int64; rows of a block stay together.

    Returns:
        Positions, ascending, of either half.
    """
    rng = np.random.default_rng(seed)
    if blocks is None:
        searched = np.zeros(count, dtype=bool)
        searched[rng.permutation(count)[: count // 2]] = True
    else:
        distinct, codes = np.unique(blocks, return_inverse=True)
        chosen = np.zeros(distinct.size, dtype=bool)
        chosen[rng.permutation(distinct.size)[: distinct.size // 2]] = True
        searched = chosen[codes]
    return np.flatnonzero(searched), np.flatnonzero(~searched)


def conditions(columns: "Mapping[str, pa.DictionaryArray]", bins: int, fewest: int) -> list[Condition]:
    """Lists the simple conditions that slices are made of.

    Args:
        columns: By name, N values each.
        bins: Numeric columns are cut at so many quantiles: below a cut, from a cut on, and between neighbouring cuts.
        fewest: Conditions that fewer rows fulfil are left out, and so are those that all others do.

    Returns:
        The conditions, column by column.
    """
    found = []
    for column, values in columns.items():
        made = _of_numbers(column, values, bins) if is_number(values) else _of_values(column, values)
        for condition in made:
            rows = int(condition.holds.sum())
            if fewest <= rows <= condition.holds.size - fewest:
                found.append(condition)
    return found


def _of_values(column: str, values: "pa.DictionaryArray") -> Iterator[Condition]:
    names = values.dictionary.to_pylist()
    codes = values.indices.fill_null(len(names)).to_numpy()
    frequent = np.argsort(-np.bincount(codes, minlength=len(names) + 1), kind="stable")[:MOST_CONDITIONS]
    for code in np.sort(frequent).tolist():
        missing = code == len(names) or names[code] is None
        text = f"{column} is missing" if missing else f"{column} is {said(names[code])}"
        yield Condition(column, text, codes == code)


def _of_numbers(column: str, values: "pa.DictionaryArray", bins: int) -> Iterator[Condition]:
    found = numbers(values)
    absent = ~np.isfinite(found)
    yield Condition(column, f"{column} is missing", absent)
    if absent.all():
        return
    distinct = np.unique(found[~absent])
    if distinct.size <= bins:
        yield from (Condition(column, f"{column} is {limit(value)}", found == value) for value in distinct.tolist())
        return
    cuts = np.unique(np.quantile(found[~absent], np.linspace(0, 1, bins + 1)[1:-1])).tolist()
    for place in cuts:
        yield Condition(column, f"{column} below {limit(place)}", found < place)
        yield Condition(column, f"{column} from {limit(place)} on", found >= place)
    for low, high in pairwise(cuts):
        inside = (found >= low) & (found < high)
        yield Condition(column, f"{column} from {limit(low)} to below {limit(high)}", inside)


def search(
    simple: Sequence[Condition], worse: np.ndarray, rows: np.ndarray, *, length: int, beam: int, keep: int, fewest: int
) -> list[Candidate]:
    """Looks for the slices of which `worse` is larger than of the rest.

    Args:
        simple: Conditions, over all N rows.
        worse: (N,) finite, what each row costs; more is worse.
        rows: The positions that may be looked at.
        length: Conditions of a slice, at most.
        beam: Candidates that are refined further at each length.
        keep: Candidates to return, at most.
        fewest: Rows of a slice, and of the rest.

    Returns:
        Candidates that are worse, the surest first; none overlaps one before it much.
    """
    if not simple or rows.size < 2 * fewest:
        return []
    holds = np.stack([condition.holds[rows] for condition in simple])  # (L, n)
    columns = [condition.column for condition in simple]
    cost = worse[rows] - worse[rows].mean()
    level = _ranked([(n,) for n in range(len(simple))], _scores(holds, holds[:0], cost, fewest)[None], beam * 4)
    everything, seen = list(level), {candidate.conditions for candidate in level}
    for _ in range(length - 1):
        parents = level[:beam]
        members = np.stack([holds[list(parent.conditions)].all(axis=0) for parent in parents]) if parents else None
        if members is None:
            break
        scores = _scores(holds, members, cost, fewest)  # (B, L, 3)
        level = _refined(parents, columns, scores, seen, beam * 4)
        everything += level
    return _distinct(sorted(everything, key=lambda c: (-c.score, c.conditions)), holds, keep)


def _scores(holds: np.ndarray, members: np.ndarray, cost: np.ndarray, fewest: int) -> np.ndarray:
    """Rows, gap and score of every parent (or of no parent) with every condition: ([B,] L, 3), score NaN if too few."""
    parents = members if members.size else np.ones((1, cost.size), dtype=bool)
    sums = np.zeros((3, len(parents), len(holds)))
    for start in range(0, cost.size, CHUNK):
        part = slice(start, start + CHUNK)
        own, other = parents[:, part].astype(np.float32), holds[:, part].astype(np.float32).T
        for power in range(3):
            sums[power] += (own * cost[part].astype(np.float32) ** power) @ other
    count, total, squares = sums
    rest = cost.size - count
    few = (count < fewest) | (rest < fewest)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = total / count + total / rest  # the costs add up to 0
        ours = (squares - total**2 / count) / (count - 1) / count
        theirs = (np.sum(cost**2) - squares - total**2 / rest) / (rest - 1) / rest
        score = gap / np.sqrt(np.maximum(ours + theirs, 0))
    score[few | ~np.isfinite(score)] = np.nan
    found = np.stack([count, gap, score], axis=-1)
    return np.asarray(found if members.size else found[0])


def _ranked(names: Sequence[tuple[int, ...]], scores: np.ndarray, most: int) -> list[Candidate]:
    flat = scores.reshape(-1, 3)
    order = [n for n in np.argsort(-np.nan_to_num(flat[:, 2], nan=-np.inf), kind="stable").tolist() if flat[n, 2] > 0]
    return [Candidate(names[n], int(flat[n, 0]), float(flat[n, 1]), float(flat[n, 2])) for n in order[:most]]


def _refined(
    parents: Sequence[Candidate], columns: Sequence[str], scores: np.ndarray, seen: set[tuple[int, ...]], most: int
) -> list[Candidate]:
    """Parents with one more condition on another column, where that makes them surer to be worse."""
    names, kept = [], []
    for parent, of_parent in zip(parents, scores, strict=True):
        used = {columns[n] for n in parent.conditions}
        for n in np.flatnonzero(of_parent[:, 2] > parent.score).tolist():
            name = tuple(sorted((*parent.conditions, n)))
            if columns[n] not in used and name not in seen:
                seen.add(name)
                names.append(name)
                kept.append(of_parent[n])
    return _ranked(names, np.array(kept), most) if names else []


def _distinct(ordered: Sequence[Candidate], holds: np.ndarray, keep: int) -> list[Candidate]:
    found: list[Candidate] = []
    masks: list[np.ndarray] = []
    for candidate in ordered:
        mask = np.asarray(holds[list(candidate.conditions)].all(axis=0))
        shared = [np.count_nonzero(mask & other) / np.count_nonzero(mask | other) for other in masks]
        if max(shared, default=0.0) <= MOST_OVERLAP:
            found.append(candidate)
            masks.append(mask)
        if len(found) == keep:
            break
    return found

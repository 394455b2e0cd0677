"""From rows to judged slices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import starmap
from typing import TYPE_CHECKING

import numpy as np

from fairlead.errors import SchemaError
from fairlead.evaluation.corrections import corrected
from fairlead.evaluation.discovery import Candidate, Condition, conditions, halves, search
from fairlead.evaluation.estimates import Blocks, Estimate, Figure
from fairlead.evaluation.evaluate_slices.findings import Slice, SliceFinding
from fairlead.evaluation.grouping import Groups, cross, cut, group, numbers
from fairlead.evaluation.slice_metrics import needed_metrics, row_costs, slice_metrics
from fairlead.evaluation.slice_spec import SliceSpec
from fairlead.progress import step

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Rows:
    """The rows that a model is judged on.

    Attributes:
        task: The model's.
        labels: (N,) as `scoring.Scores` has them.
        outputs: (N,) or (N, K), the model's.
        threshold: The probability from which a binary answer is yes.
        classes: Of a multiclass model.
        columns: What slices are cut by, by name.
        searched: Columns that the search looks at.
        blocks: Which rows depend on one another.
    """

    task: str
    labels: np.ndarray
    outputs: np.ndarray
    threshold: float
    classes: Sequence[str]
    columns: "Mapping[str, pa.DictionaryArray]"
    searched: Sequence[str]
    blocks: Blocks | None

    def yes_or_no(self, positive: str) -> tuple[np.ndarray, np.ndarray]:
        """Truths (N,) of 0 and 1 and answers (N,) bool; of a multiclass model, whether they are `positive`."""
        if self.task == "multiclass":
            code = list(self.classes).index(positive)
            return (self.labels == code).astype(np.int8), self.outputs.argmax(axis=1) == code
        return self.labels, self.outputs >= self.threshold

    def figures(self, names: Sequence[str], among: np.ndarray | None = None) -> dict[str, Figure]:
        """Figures of all rows, or of those at some positions."""
        chosen = slice(None) if among is None else among
        blocks = self.blocks and Blocks(self.blocks.codes[chosen], self.blocks.count)
        return slice_metrics(self.task, names, self.labels[chosen], self.outputs[chosen], self.threshold, blocks)


@dataclass(frozen=True)
class Search:
    """What a search for slices came to.

    Attributes:
        slices: Found on one part of the rows; their `rows` are positions in `deciding`.
        deciding: (m,) int64, the positions of the rows that were not searched.
        tried: Simple conditions that slices were made of.
    """

    slices: Sequence[Slice]
    deciding: np.ndarray
    tried: int


def block_rows(columns: "Mapping[str, pa.DictionaryArray]", spec: SliceSpec) -> Blocks | None:
    """Which rows depend on one another.

    Raises:
        SchemaError: A cluster that is to be cut into spans holds no times.
    """
    import pyarrow as pa

    if not spec.cluster:
        return None
    values = columns[spec.cluster]
    if spec.cluster_seconds is None:
        codes = values.indices.fill_null(len(values.dictionary)).to_numpy()
    else:
        if not pa.types.is_timestamp(values.type.value_type):
            kind = values.type.value_type
            raise SchemaError(
                f"cluster_seconds cuts a column of times, and {spec.cluster!r} is "
                f"of type {kind}; leave it out to take each of its values for a block"
            )
        times = values.dictionary.cast(pa.timestamp("us", tz=values.type.value_type.tz)).cast(pa.int64()).to_numpy()
        parts = np.append(times // (spec.cluster_seconds * 1_000_000), -1)
        codes = parts[values.indices.fill_null(len(times)).to_numpy()]
    _, numbered = np.unique(codes, return_inverse=True)
    return Blocks(numbered.astype(np.int64), int(numbered.max()) + 1)


def declared_slices(rows: Rows, spec: SliceSpec) -> list[Slice]:
    """The slices that the problem declares.

    Raises:
        SchemaError: A column that is cut into quantiles holds no numbers.
    """
    cuts: dict[str, Groups] = {
        column: cut(numbers(rows.columns[column], column), parts) for column, parts in spec.quantiles.items()
    }
    crossed = {column for pair in spec.crosses for column in pair}
    simple = {c: cuts.get(c) or group(rows.columns[c]) for c in dict.fromkeys([*spec.columns, *crossed])}
    found = [
        Slice(column, name, members)
        for column, groups in {**{c: simple[c] for c in spec.columns}, **cuts}.items()
        for name, members in groups.members()
    ]
    for first, second in spec.crosses:
        for name, members in cross(simple[first], simple[second]).members():
            found.append(Slice(f"{first} and {second}", name.replace("\t", ", "), members))
    return found


def find_slices(rows: Rows, metric: str, spec: SliceSpec) -> Search:
    """Searches one half of the rows for slices; the other half is not looked at."""
    wanted, count = spec.discovery, rows.labels.size
    assert wanted is not None  # noqa: S101 - the task asks only where it is set
    chosen = np.arange(count)
    if count > wanted.maximum_rows:
        chosen = np.sort(np.random.default_rng(spec.seed).permutation(count)[: wanted.maximum_rows])
    blocks = rows.blocks.codes[chosen] if rows.blocks else None
    searched, deciding = (chosen[half] for half in halves(chosen.size, spec.seed, blocks))
    fewest = max(spec.minimum_rows // 2, 10)  # in a half of the rows
    with step("searching for slices"):
        columns = {column: rows.columns[column] for column in wanted.columns or rows.searched}
        simple = conditions(columns, wanted.bins, fewest)
        costs = row_costs(rows.task, metric, rows.labels, rows.outputs, rows.threshold)
        limits = {"length": wanted.conditions, "beam": wanted.beam, "keep": wanted.keep, "fewest": fewest}
        found = search(simple, costs, searched, **limits)
    return Search([_named(candidate, simple, deciding) for candidate in found], deciding, len(simple))


def _named(candidate: Candidate, simple: Sequence[Condition], deciding: np.ndarray) -> Slice:
    parts = [simple[n] for n in candidate.conditions]
    holds = np.logical_and.reduce([part.holds[deciding] for part in parts])
    return Slice("", " and ".join(part.text for part in parts), np.flatnonzero(holds), candidate)


def judge_slices(
    rows: Rows, declared: Sequence[Slice], search: Search | None, metric: str, spec: SliceSpec
) -> tuple[list[SliceFinding], dict[str, Estimate]]:
    """Takes all figures of all slices, and tests whether they are worse than the rest.

    Args:
        rows: The rows.
        declared: Slices of all rows.
        search: Slices of the rows that decide; None where there was no search.
        metric: What gaps are taken of.
        spec: Everything else.

    Returns:
        The slices, the most troubled first, and the figures of all rows.
    """
    names = needed_metrics(rows.task, metric, (gate.metric for gate in spec.gates))
    gaps = {gate.metric for gate in spec.gates if gate.largest_gap is not None} | {metric}
    everywhere = rows.figures(names)
    found = [_measure(of, everywhere, metric, gaps, spec.minimum_rows, rows.labels.size) for of in declared]
    if search is not None and search.slices:
        deciding, fewest = rows.figures(names, search.deciding), max(spec.minimum_rows // 2, 10)
        found += [_measure(of, deciding, metric, gaps, fewest, search.deciding.size) for of in search.slices]
    overall = {name: figure.of(np.arange(rows.labels.size)) for name, figure in everywhere.items()}
    return sorted(_tested(found, spec), key=_trouble), overall


def _measure(
    of: Slice, figures: Mapping[str, Figure], metric: str, gaps: set[str], fewest: int, count: int
) -> SliceFinding:
    measured = {name: figure.of(of.rows) for name, figure in figures.items()}
    low = of.rows.size < fewest or count - of.rows.size < fewest
    if low:
        return SliceFinding(of, measured, figures[metric].gap(of.rows), low_support=True)
    measured |= {f"{name} gap": figures[name].gap(of.rows) for name in gaps}
    return SliceFinding(of, measured, measured[f"{metric} gap"], low_support=False)


def _tested(found: Sequence[SliceFinding], spec: SliceSpec) -> list[SliceFinding]:
    p_values = np.array([finding.gap.p_above(0.0) if finding.judged else 1.0 for finding in found])
    judged = np.array([finding.judged for finding in found], dtype=bool)
    fixed = np.ones(len(found))
    fixed[judged] = corrected(p_values[judged], spec.correction)
    parts = zip(found, p_values.tolist(), fixed.tolist(), strict=True)
    return list(starmap(lambda finding, p, q: replace(finding, p_value=p, corrected=q), parts))


def _trouble(finding: SliceFinding) -> tuple[bool, bool, float, float, str]:
    """What sorts slices: judged ones first, then by evidence, then by size of the gap."""
    gap = finding.gap.value if np.isfinite(finding.gap.value) else -np.inf
    return (not finding.judged, finding.corrected >= 1, finding.corrected, -gap, finding.of.title)

"""What becomes of the demands on slices and on fairness, by tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairlead.evaluation.corrections import corrected
from fairlead.evaluation.estimates import FEWEST_CASES
from fairlead.evaluation.evaluate_slices.findings import Findings, GateFinding, Held, SliceFinding
from fairlead.evaluation.fairness import GroupFairness
from fairlead.evaluation.slice_spec import FairnessGateSpec, SliceGateSpec, SliceSpec
from fairlead.values import limit, number, title
from fairlead.verdicts import Verdict

SHOWN_OFFENDERS = 3


@dataclass(frozen=True)
class _Test:
    """One bound against one slice or pair of groups.

    Attributes:
        where: What is tested.
        value: The figure there.
        violated: The p-value of the hypothesis that the bound is kept.
        kept: The p-value of the hypothesis that it is violated.
        beyond: How far beyond the bound it is; negative within.
    """

    where: str
    value: float
    violated: float
    kept: float
    beyond: float


def slice_gates(slices: Sequence[SliceFinding], spec: SliceSpec) -> list[GateFinding]:
    """Judges every demand on slices.

    Args:
        slices: All slices; those of low support take no part.
        spec: The demands.

    Returns:
        What became of each bound.
    """
    judged, found = [finding for finding in slices if finding.judged], []
    for gate in spec.gates:
        bounds = {"largest_gap": gate.largest_gap, "at_least": gate.at_least, "at_most": gate.at_most}
        for kind, bound in bounds.items():
            if bound is not None:
                tests = [test for finding in judged if (test := _slice_test(gate, kind, bound, finding))]
                found.append(_conclude(_demand(gate.metric, kind, bound), bound, tests, strict=gate.strict, spec=spec))
    return found


def _slice_test(gate: SliceGateSpec, kind: str, bound: float, finding: SliceFinding) -> _Test | None:
    estimate = finding.figures[f"{gate.metric} gap" if kind == "largest_gap" else gate.metric]
    if not estimate.usable or estimate.cases < FEWEST_CASES:
        return None
    above, below = estimate.p_above(bound), estimate.p_below(bound)
    if kind == "at_least":
        return _Test(finding.of.title, estimate.value, below, above, bound - estimate.value)
    return _Test(finding.of.title, estimate.value, above, below, estimate.value - bound)


def _demand(metric: str, kind: str, bound: float) -> str:
    if kind == "largest_gap":
        return f"{title(metric)} at most {limit(bound)} worse in any slice than on the rest"
    return f"{title(metric)} {kind.replace('_', ' ')} {limit(bound)} in every slice"


def fairness_gates(
    groups: Sequence[GroupFairness], gates: Sequence[FairnessGateSpec], spec: SliceSpec
) -> list[GateFinding]:
    """Judges every demand on fairness, in each of its columns.

    Args:
        groups: Of each sensitive column.
        gates: The demands.
        spec: The error of the tests, and their correction.

    Returns:
        What became of each bound.
    """
    found = []
    for gate in gates:
        for of in groups:
            if gate.column in ("", of.column):
                bound = gate.at_least if gate.metric.endswith("ratio") else gate.at_most
                assert bound is not None  # noqa: S101 - FairnessGateSpec allows no other
                tests = _pair_tests(of, gate.metric, bound)
                word = "at least" if gate.metric.endswith("ratio") else "at most"
                demand = f"{title(gate.metric)} by {of.column} {word} {limit(bound)}"
                found.append(_conclude(demand, bound, tests, strict=gate.strict, spec=spec))
    return found


def _pair_tests(of: GroupFairness, metric: str, bound: float) -> list[_Test]:
    if metric not in of.figures:
        return []
    sign = -1 if metric.endswith("ratio") else 1
    pairs = of.table.violations(metric, bound)
    return [_Test(where, value, violated, kept, sign * (value - bound)) for where, value, violated, kept in pairs]


def _conclude(demand: str, bound: float, tests: Sequence[_Test], *, strict: bool, spec: SliceSpec) -> GateFinding:
    if not tests:
        return GateFinding(demand, "unclear" if strict else "kept", "", float("nan"), bound, (), 0, 1.0)
    ordered = sorted(tests, key=lambda test: -test.beyond)
    p_values = corrected(np.array([test.violated for test in ordered]), spec.correction)
    offenders = [test.where for test, p in zip(ordered, p_values.tolist(), strict=True) if p < spec.alpha]
    held: Held = "violated" if offenders else "kept"
    # That all keep a bound is shown where each by itself is shown to (Berger 1982): nothing is to be corrected.
    if not offenders and strict and max(test.kept for test in tests) >= spec.alpha:
        held = "unclear"
    beyond = sum(test.beyond > 0 for test in tests)
    worst = next((test for test in ordered if test.where in offenders), ordered[0])
    return GateFinding(demand, held, worst.where, worst.value, bound, offenders, beyond, float(p_values.min()))


def sentence(gate: GateFinding) -> str:
    """What became of a gate, in a sentence for the verdict."""
    if not gate.where:
        return f"{gate.demand}: there is nothing with enough rows to judge it by"
    measured = f"{number(gate.value)} for {gate.where}"
    if gate.held == "violated":
        others = len(gate.offenders) - 1
        more = f" and {others} more" if others else ""
        return (
            f"{gate.demand}: violated by {gate.offenders[0]}{more} ({measured}; corrected p = {number(gate.p_value)})"
        )
    if gate.held == "unclear":
        return f"{gate.demand}: these rows do not show that it is kept everywhere ({measured}); give more of them"
    if gate.beyond:
        found = f"{gate.beyond} measure beyond it, within chance ({measured})"
        return f"{gate.demand}: not shown to be violated, though {found}"
    return f"{gate.demand}: kept ({measured})"


def judge(findings: Findings, spec: SliceSpec) -> Verdict:
    """Comes to the verdict `slices`.

    Args:
        findings: What was found.
        spec: What was demanded.

    Returns:
        Rejected where a gate is shown to be violated, inconclusive where a strict one is not shown to be kept.
    """
    by_held = {
        held: [sentence(g) for g in findings.gates if g.held == held] for held in ("violated", "unclear", "kept")
    }
    outcome = "rejected" if by_held["violated"] else "inconclusive" if by_held["unclear"] else "approved"
    reasons = by_held["violated"] + by_held["unclear"]
    reasons += [sentence(g) for g in findings.gates if g.held == "kept" and (g.beyond or not g.where)]
    if not findings.gates:
        reasons.append("no gates are set, so that every model passes")
    figures = {name: value for name, value in figures_of(findings).items() if np.isfinite(value)}
    thresholds: dict[str, float | str] = {gate.demand: gate.bound for gate in findings.gates}
    thresholds |= {"alpha": spec.alpha, "correction": spec.correction}
    return Verdict("slices", findings.digest, outcome, figures, thresholds, [*reasons, _remark(findings)])  # type: ignore[arg-type]


def _remark(findings: Findings) -> str:
    troubled, judged = findings.troubled, findings.judged
    if not judged:
        return "no slice has enough rows to be judged"
    if not troubled:
        return f"none of {len(judged)} slices is shown to be worse than the rest"
    worst = troubled[0]
    return (
        f"{len(troubled)} of {len(judged)} slices are worse than the rest beyond chance; first {worst.of.title}: "
        f"{title(findings.metric)} {number(worst.gap.value)} worse"
    )


def figures_of(findings: Findings) -> Mapping[str, float]:
    """The flat figures of a verdict and of the metrics artifact."""
    gaps = [finding.gap.value for finding in findings.judged]
    figures = {
        "rows": float(findings.rows),
        "slices": float(len(findings.slices)),
        "slices_judged": float(len(findings.judged)),
        "slices_with_low_support": float(sum(finding.low_support for finding in findings.slices)),
        "slices_worse_than_the_rest": float(len(findings.troubled)),
        "slices_found_and_confirmed": float(sum(finding.of.found is not None for finding in findings.troubled)),
        "largest_gap": max(gaps, default=float("nan")),
        "smallest_corrected_p": min((finding.corrected for finding in findings.judged), default=1.0),
        "gates_violated": float(sum(gate.held == "violated" for gate in findings.gates)),
    }
    for name, overall in findings.overall.items():
        figures[name] = overall.value
    for of in findings.fairness:
        for metric, value in of.figures.items():
            figures |= {f"{of.column}_{metric}": value.estimate, f"{of.column}_{metric}_low": value.low}
            figures[f"{of.column}_{metric}_high"] = value.high
    return figures

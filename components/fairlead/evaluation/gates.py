"""Gates: what the figures must be, and the verdict that follows."""

import math
from collections.abc import Mapping, Sequence

from fairlead.errors import ConfigurationError, nearest
from fairlead.evaluation.resampling import Interval
from fairlead.evaluation.spec import GateSpec
from fairlead.values import limit, number
from fairlead.verdicts import Verdict

ENDS = ("low", "high")


def flat(figures: Mapping[str, Interval]) -> dict[str, float]:
    """Figures and the ends of their intervals by name: `roc_auc`, `roc_auc_low`, `roc_auc_high`."""
    found: dict[str, float] = {}
    for name, figure in figures.items():
        found |= {name: figure.estimate, f"{name}_low": figure.low, f"{name}_high": figure.high}
    return found


def failed_gates(gates: Sequence[GateSpec], figures: Mapping[str, Interval]) -> list[str]:
    """Checks figures against gates.

    Args:
        gates: The demands.
        figures: Figure by name; one that is undefined (NaN) passes no gate.

    Returns:
        A sentence for each bound that is not met.

    Raises:
        ConfigurationError: A gate names a figure that this task does not have.
    """
    failures = []
    for gate in gates:
        value = _value(gate, figures)
        if math.isnan(value):
            failures.append(f"{gate.figure} is undefined on these rows, so that its gate cannot be passed")
            continue
        told = f"{gate.figure} is {number(value)}" + _unsure(gate, figures[gate.metric])
        if gate.at_least is not None and value < gate.at_least:
            failures.append(f"{told}; at least {limit(gate.at_least)} is demanded")
        if gate.at_most is not None and value > gate.at_most:
            failures.append(f"{told}; at most {limit(gate.at_most)} is demanded")
    return failures


def _value(gate: GateSpec, figures: Mapping[str, Interval]) -> float:
    if gate.metric not in figures:
        raise ConfigurationError(
            f"a gate names {gate.metric!r}, which this task does not have; {nearest(gate.metric, list(figures))}"
        )
    return float(getattr(figures[gate.metric], gate.at))


def _unsure(gate: GateSpec, figure: Interval) -> str:
    """Says where the estimate lies when an end of the interval is judged."""
    return "" if gate.at == "estimate" else f" (the estimate is {number(figure.estimate)})"


def thresholds(gates: Sequence[GateSpec]) -> dict[str, float | str]:
    """The gates as a verdict records them: `{"roc_auc at least": 0.6}`."""
    found: dict[str, float | str] = {}
    for gate in gates:
        bounds = {"at least": gate.at_least, "at most": gate.at_most}
        found |= {f"{gate.figure} {word}": bound for word, bound in bounds.items() if bound is not None}
    return found


def judge(
    digest: str,
    gates: Sequence[GateSpec],
    figures: Mapping[str, Interval],
    remarks: Sequence[str],
    with_ends: Sequence[str] = (),
) -> Verdict:
    """Comes to the verdict `evaluation`.

    Args:
        digest: The package that was judged.
        gates: The demands.
        figures: Figure by name.
        remarks: What is worth knowing whatever the outcome, such as a baseline that wins.
        with_ends: The figures of which the verdict tells the interval's ends too, besides those that gates name.

    Returns:
        Approved where every gate is passed, otherwise rejected with a reason for each that is not.
    """
    failures = failed_gates(gates, figures)
    reasons = failures or ([] if gates else ["no gates are set, so that every model passes"])
    told = {*with_ends, *(gate.metric for gate in gates)}
    named = {f"{name}_{end}" for name in told for end in ENDS} | set(figures)
    measured = {name: float(value) for name, value in flat(figures).items() if name in named and math.isfinite(value)}
    outcome = "rejected" if failures else "approved"
    return Verdict("evaluation", digest, outcome, measured, thresholds(gates), [*reasons, *remarks])  # type: ignore[arg-type]

"""Gates: what the figures must be, and the verdict that follows."""

import math
from collections.abc import Mapping, Sequence

from fairlead.evaluation.spec import GateSpec
from fairlead.values import limit, number
from fairlead.verdicts import Verdict


def failed_gates(gates: Sequence[GateSpec], figures: Mapping[str, float]) -> list[str]:
    """Checks figures against gates.

    Args:
        gates: The demands; each names a figure that is there.
        figures: Figure by name; one that is undefined (NaN) passes no gate.

    Returns:
        A sentence for each bound that is not met.
    """
    failures = []
    for gate in gates:
        value = figures[gate.metric]
        if math.isnan(value):
            failures.append(f"{gate.metric} is undefined on these rows, so that its gate cannot be passed")
            continue
        if gate.at_least is not None and value < gate.at_least:
            failures.append(f"{gate.metric} is {number(value)}; at least {limit(gate.at_least)} is demanded")
        if gate.at_most is not None and value > gate.at_most:
            failures.append(f"{gate.metric} is {number(value)}; at most {limit(gate.at_most)} is demanded")
    return failures


def thresholds(gates: Sequence[GateSpec]) -> dict[str, float | str]:
    """The gates as a verdict records them: `{"roc_auc at least": 0.6}`."""
    found: dict[str, float | str] = {}
    for gate in gates:
        bounds = {"at least": gate.at_least, "at most": gate.at_most}
        found |= {f"{gate.metric} {word}": bound for word, bound in bounds.items() if bound is not None}
    return found


def judge(digest: str, gates: Sequence[GateSpec], figures: Mapping[str, float], remarks: Sequence[str]) -> Verdict:
    """Comes to the verdict `evaluation`.

    Args:
        digest: The package that was judged.
        gates: The demands.
        figures: Figure by name.
        remarks: What is worth knowing whatever the outcome, such as a baseline that wins.

    Returns:
        Approved where every gate is passed, otherwise rejected with a reason for each that is not.
    """
    failures = failed_gates(gates, figures)
    reasons = failures or ([] if gates else ["no gates are set, so that every model passes"])
    measured = {name: float(value) for name, value in figures.items() if math.isfinite(value)}
    outcome = "rejected" if failures else "approved"
    return Verdict("evaluation", digest, outcome, measured, thresholds(gates), [*reasons, *remarks])  # type: ignore[arg-type]

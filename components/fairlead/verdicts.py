"""Verdicts: who judged which model, by what figures, and how it ended. A verdict holds for one digest only."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fairlead import atomic
from fairlead.errors import VerdictError

Outcome = Literal["approved", "rejected", "inconclusive"]
_FORMAT = 1


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Verdict:
    """One judge's finding on one model.

    Attributes:
        judge: Who judged: `evaluation`, `comparison`, `canary`, …
        model_digest: The digest of the model package that was judged.
        outcome: `approved`, `rejected` or `inconclusive`.
        figures: What was measured.
        thresholds: What was demanded, by the name of the figure or gate.
        reasons: Why, in sentences; at least one unless approved.
        created_at: When (ISO 8601, UTC).
    """

    judge: str
    model_digest: str
    outcome: Outcome
    figures: dict[str, float] = field(default_factory=dict)
    thresholds: dict[str, float | str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    created_at: str = field(default_factory=_now)

    def write(self, path: Path | str) -> None:
        """Writes the verdict as JSON, whole or not at all."""
        atomic.write_json(path, {"format": _FORMAT, **asdict(self)})

    @classmethod
    def read(cls, path: Path | str) -> "Verdict":
        """Reads a verdict.

        Raises:
            VerdictError: The file is missing, no verdict, or of another format.
        """
        try:
            content = json.loads(Path(path).read_text())
            if content.pop("format") != _FORMAT:
                raise VerdictError(f"the verdict {path} is of another format than {_FORMAT}; judge the model again")
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise VerdictError(f"{path} is not a verdict ({error}); judge the model again") from None


def require(verdicts: Iterable[Verdict], judges: Sequence[str], digest: str) -> None:
    """Refuses unless every judge has approved exactly this model.

    Args:
        verdicts: The verdicts at hand.
        judges: The judges that the policy demands.
        digest: The digest of the package that is about to be shipped.

    Raises:
        VerdictError: A verdict is missing, not `approved`, or bound to another digest.
    """
    problems = [text for judge in judges if (text := _objection(judge, list(verdicts), digest))]
    if problems:
        raise VerdictError(f"model {digest[:19]} may not go on:\n" + "\n".join(f"- {text}" for text in problems))


def _objection(judge: str, verdicts: list[Verdict], digest: str) -> str:
    mine = [v for v in verdicts if v.judge == judge]
    if not mine:
        return f"{judge}: no verdict; the policy demands one (run that component, or change policy in problem.yaml)"
    bound = [v for v in mine if v.model_digest == digest]
    if not bound:
        return f"{judge}: the verdict is for another model ({mine[-1].model_digest[:19]}); judge this one"
    latest = max(bound, key=lambda v: v.created_at)
    if latest.outcome != "approved":
        return f"{judge}: {latest.outcome}: {'; '.join(latest.reasons) or 'no reason recorded'}"
    return ""

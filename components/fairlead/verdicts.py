"""Verdicts: who judged which model, by what figures, and how it ended. A verdict holds for one digest only.

A judge `issue`s its verdict: signed with the key that the settings name, if they name one. Whoever is about to ship a
model calls `require`. What only passes verdicts on uses `read` and `write`, which leave a signature as it is.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from fairlead import atomic, signatures
from fairlead.canonical import canonical
from fairlead.errors import VerdictError
from fairlead.signatures import SigningKey

Outcome = Literal["approved", "rejected", "inconclusive"]
KIND = "verdict"
_FORMAT = 1
_CLOCKS_MAY_DIFFER = timedelta(minutes=5)
_SIGNATURE = ("key", "signature")
_JUDGE = re.compile(r"[a-z][a-z0-9_-]{0,39}")  # it names a file where verdicts are kept


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
        key: The name of the key that signed it; empty where none did.
        signature: Over all of the above (base64); empty where there is none.
    """

    judge: str
    model_digest: str
    outcome: Outcome
    figures: dict[str, float] = field(default_factory=dict)
    thresholds: dict[str, float | str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    created_at: str = field(default_factory=_now)
    key: str = ""
    signature: str = ""

    def issue(self, path: Path | str) -> "Verdict":
        """Signs the verdict if the settings name a key, and writes it: what a judge does with its own finding.

        Returns:
            The verdict as written.

        Raises:
            ConfigurationError: The key cannot be used.
            VerdictError: A figure is no number of JSON.
        """
        key = signatures.signing_key()
        issued = self.signed(key) if key else self
        issued.write(path)
        return issued

    def signed(self, key: SigningKey) -> "Verdict":
        """The verdict with a signature over all of it, the signer's name included.

        Raises:
            VerdictError: A figure is no number of JSON.
        """
        named = replace(self, key=key.name, signature="")
        try:
            return replace(named, signature=key.sign(KIND, named.content()))
        except (ValueError, TypeError) as error:
            raise VerdictError(f"the verdict of {self.judge} cannot be signed: {error}") from None

    def content(self) -> dict[str, Any]:
        """What a signature covers: everything but itself."""
        return {"format": _FORMAT, **{k: v for k, v in asdict(self).items() if k != "signature"}}

    def write(self, path: Path | str) -> None:
        """Writes the verdict as JSON as it is, whole or not at all.

        Raises:
            VerdictError: A figure is no number of JSON.
        """
        atomic.write_text(path, self.to_text())

    def to_text(self) -> str:
        """The verdict as JSON for people to read, as `write` writes it.

        Raises:
            VerdictError: A figure is no number of JSON.
        """
        content = {"format": _FORMAT, **asdict(self)}
        shown = {key: value for key, value in content.items() if value or key not in _SIGNATURE}
        try:
            return json.dumps(shown, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        except ValueError as error:
            raise VerdictError(f"the verdict of {self.judge} cannot be written: {error}") from None

    @classmethod
    def read(cls, path: Path | str) -> "Verdict":
        """Reads a verdict.

        Raises:
            VerdictError: The file is missing, no verdict, or of another format.
        """
        try:
            text = Path(path).read_bytes().decode()
        except (OSError, ValueError) as error:
            raise VerdictError(f"{path} is not a verdict ({error}); judge the model again") from None
        return cls.from_text(text, str(path))

    @classmethod
    def from_text(cls, text: str, where: str = "the text") -> "Verdict":
        """Reads a verdict from JSON.

        Args:
            text: What `to_text` gave.
            where: Where it stood, for messages.

        Raises:
            VerdictError: It is no verdict, or of another format.
        """
        try:
            content = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
            if content.pop("format") != _FORMAT:
                raise VerdictError(f"the verdict {where} is of another format than {_FORMAT}; judge the model again")
            verdict = cls(**content)
            _check_types(verdict)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise VerdictError(f"{where} is not a verdict ({error}); judge the model again") from None
        return verdict


@dataclass(frozen=True)
class Demand:
    """What is demanded of verdicts before a model may go on.

    Attributes:
        judges: Who must have approved.
        keys: By judge, or `*` for all others, the names of the keys that may have signed; none where it need not be.
        trusted: Public keys (base64) by name.
        maximum_age: How old an approval may be; None for any age.
    """

    judges: tuple[str, ...] = ()
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    trusted: signatures.Trusted = field(default_factory=dict)
    maximum_age: timedelta | None = None

    def signers(self, judge: str) -> tuple[str, ...]:
        """The names of the keys of which one must have signed a judge's verdict; empty where none need have."""
        return tuple(self.keys.get(judge, self.keys.get("*", ())))


def require(verdicts: Iterable[Verdict], demand: Demand | Sequence[str], digest: str) -> None:
    """Refuses unless every judge has approved exactly this model, in a verdict that counts.

    Args:
        verdicts: The verdicts at hand.
        demand: What the policy demands; judges alone mean that signatures and age do not matter.
        digest: The digest of the package that is about to be shipped.

    Raises:
        VerdictError: A verdict is missing, not `approved`, bound to another digest, not signed as demanded, changed
            after it was signed, or too old.
    """
    wanted, known = demand if isinstance(demand, Demand) else Demand(tuple(demand)), list(verdicts)
    problems = [text for judge in wanted.judges if (text := objection(judge, known, wanted, digest))]
    if problems:
        raise VerdictError(f"model {digest[:19]} may not go on:\n" + "\n".join(f"- {text}" for text in problems))


def objection(judge: str, verdicts: Sequence[Verdict], demand: Demand, digest: str) -> str:
    """Says why a judge's verdicts do not let a model go on; nothing where they do.

    The latest of those verdicts decides that are bound to the digest and signed as demanded; of two made in the same
    second, the one that does not approve.
    """
    mine = [verdict for verdict in verdicts if verdict.judge == judge]
    if not mine:
        return f"{judge}: no verdict; the policy demands one (run that component, or change policy in problem.yaml)"
    bound = [verdict for verdict in mine if verdict.model_digest == digest]
    if not bound:
        return f"{judge}: the verdict is for another model ({mine[-1].model_digest[:19]}); judge this one"
    troubles = [trouble(verdict, demand) for verdict in bound]
    valid = [verdict for verdict, wrong in zip(bound, troubles, strict=True) if not wrong]
    if not valid:
        return f"{judge}: {troubles[-1]}"
    latest = max(valid, key=lambda verdict: (made_at(verdict), verdict.outcome != "approved"))
    if latest.outcome != "approved":
        return f"{judge}: {latest.outcome}: {'; '.join(latest.reasons) or 'no reason recorded'}"
    return _staleness(latest, demand)


def trouble(verdict: Verdict, demand: Demand) -> str:
    """Says why a verdict does not count as its judge's word, whatever it says; nothing where it does."""
    if made_at(verdict) > datetime.now(UTC) + _CLOCKS_MAY_DIFFER:
        return f"the verdict is dated {verdict.created_at}, which is yet to come; set the clocks, and judge again"
    signers, named = demand.signers(verdict.judge), f"the signature of {verdict.key!r}"
    if not verdict.signature:
        return f"the verdict is unsigned; the policy demands a signature of {' or '.join(signers)}" if signers else ""
    if signers and verdict.key not in signers:
        return f"{named} does not count here; the policy demands that of {' or '.join(signers)}"
    known = demand.trusted.get(verdict.key, ())
    if not known:
        return f"{named} cannot be checked: no public key of that name is trusted here" if signers else ""
    if not any(signatures.is_signed_by(key, KIND, verdict.content(), verdict.signature) for key in known):
        return f"{named} does not fit: the verdict was changed, or another key of that name signed it; judge again"
    return ""


def made_at(verdict: Verdict) -> datetime:
    """When a verdict was made.

    Raises:
        VerdictError: Its time cannot be read.
    """
    try:
        made = datetime.fromisoformat(verdict.created_at)
    except ValueError:
        raise VerdictError(f"the verdict of {verdict.judge} has no readable time; judge the model again") from None
    return made if made.tzinfo else made.replace(tzinfo=UTC)


def _staleness(verdict: Verdict, demand: Demand) -> str:
    age = datetime.now(UTC) - made_at(verdict)
    if demand.maximum_age is None or age <= demand.maximum_age:
        return ""
    days, most = age / timedelta(days=1), demand.maximum_age / timedelta(days=1)
    return f"{verdict.judge}: the verdict is {days:.1f} days old; the policy allows {most:g}; judge the model again"


def _check_types(verdict: Verdict) -> None:
    """Refuses what Python would take and a signature or a policy could not.

    Raises:
        ValueError: A field holds what it may not.
    """
    texts = (verdict.judge, verdict.model_digest, verdict.created_at, verdict.key, verdict.signature)
    if not all(isinstance(text, str) for text in (*texts, *verdict.reasons)) or not isinstance(verdict.reasons, list):
        raise ValueError("a text is no text")
    if not _JUDGE.fullmatch(verdict.judge):
        raise ValueError(f"its judge is {verdict.judge!r}")
    if verdict.outcome not in get_args(Outcome):
        raise ValueError(f"its outcome is {verdict.outcome!r}")
    numbers = [*verdict.figures.values(), *(v for v in verdict.thresholds.values() if not isinstance(v, str))]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers):
        raise ValueError("a figure is no number")
    datetime.fromisoformat(verdict.created_at)
    canonical(verdict.content())


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members: two of one name would mean different things to different readers."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key stands there twice")
    return content


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")

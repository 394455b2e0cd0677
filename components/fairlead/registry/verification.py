"""Checks a model from files alone: its package, its verdicts, their signatures, a policy's demands.

Whoever receives a model can do this without the environment that made it: it needs neither numpy nor MLflow, and
`cryptography` only where there are signatures.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fairlead.errors import FairleadError, SourceError, VerdictError
from fairlead.registry import policy as policies
from fairlead.registry.spec import EVERY, PolicySpec
from fairlead.verdicts import Demand, Verdict, objection, trouble
from fairlead_serving.identity import PackageInvalidError, package_digest

NEEDED = ("MLmodel", "model.onnx", "fairlead/package.json", "fairlead/lineage.json")
_CODE = (".py", ".pyc", ".so", ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".dill")
_STAGES: tuple[policies.Stage, ...] = ("registration", "deployment")


@dataclass(frozen=True)
class Finding:
    """What became of one judge's word.

    Attributes:
        judge: Who judged.
        verdict: The verdict; None where there is none.
        demanded: Whether the policy demands it.
        problem: Why it does not count; empty where it does.
    """

    judge: str
    verdict: Verdict | None
    demanded: bool
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding for machines."""
        facts = {"judge": self.judge, "demanded": self.demanded, "problem": self.problem}
        v = self.verdict
        return facts | ({"outcome": v.outcome, "key": v.key, "time": v.created_at} if v else {})


@dataclass(frozen=True)
class Verification:
    """What came of checking a model.

    Attributes:
        name: The model's name, as its package says.
        package: The package's folder.
        digest: Its identity; empty where there is no package.
        files: How many files it has.
        policy: The policy's identity; empty where none was given.
        findings: Each verdict, and each that is missing.
        problems: Why the model is refused; none where it is not.
    """

    name: str
    package: Path
    digest: str
    files: int
    policy: str = ""
    findings: tuple[Finding, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """The result for machines."""
        return {
            "name": self.name, "package": str(self.package), "digest": self.digest, "policy": self.policy,
            "verified": self.is_good, "problems": list(self.problems),
            "verdicts": [finding.to_json() for finding in self.findings],
        }  # fmt: skip


@dataclass(frozen=True)
class Terms:
    """By what a model is checked.

    Attributes:
        policy: The section `policy` of a problem; without one, every verdict at hand must approve,
            and one must be there.
        stages: Whose demands count.
        trusted: Public keys by name that count in place of the policy's; then every verdict must be signed.
        digest: The digest that the package must have, where it is known.
    """

    policy: Mapping[str, Any] | None = None
    stages: Sequence[policies.Stage] = _STAGES
    trusted: Mapping[str, tuple[str, ...]] | None = None
    digest: str = ""


def verify(package: Path, verdicts: Iterable[Verdict], terms: Terms, unreadable: Sequence[str] = ()) -> Verification:
    """Checks a package and its verdicts.

    Args:
        package: The package's folder.
        verdicts: The verdicts at hand.
        terms: By what to check.
        unreadable: What is wrong with files that should have been verdicts.

    Returns:
        What was found; nothing is raised for a model that is refused.

    Raises:
        ConfigurationError: A key of the policy or a file of keys is wrong.
    """
    known = list(verdicts)
    digest, files, problems = _check_package(package, terms.digest)
    name, garbled = _name_of(package) if digest else ("", "")
    problems += [*filter(None, [garbled]), *unreadable]
    spec, demand = _demand(terms, known)
    if spec is not None:
        problems += _refusal(spec, name)
    findings = [*_judged(known, demand, digest, terms.policy is not None), *_missing(known, demand)]
    if spec is None and not known:
        problems.append("no verdicts: nothing says that anybody has judged this model")
    if digest:
        problems += _objections(findings, known, demand, digest)
    policy = policies.digest_of(spec) if spec is not None else ""
    return Verification(name, package, digest, files, policy, tuple(findings), tuple(problems))


def read_verdicts(places: Iterable[Path]) -> tuple[list[Verdict], list[str]]:
    """Reads verdicts from files, and from folders: each `*.json` there, and each file `verdict` at any depth.

    Returns:
        The verdicts, and what is wrong with files that are none.

    Raises:
        SourceError: A place does not exist.
    """
    found, unreadable = [], []
    for place in places:
        if not place.exists():
            raise SourceError(f"there are no verdicts at {place}; give a file or a folder of them")
        for file in [place] if place.is_file() else sorted({*place.glob("*.json"), *place.rglob("verdict")}):
            try:
                found.append(Verdict.read(file))
            except VerdictError as error:
                unreadable.append(str(error))
    return found, unreadable


def verdicts_beside(package: Path) -> Path | None:
    """The folder in which a package's verdicts lie if nobody says where: beside it, or as a registry keeps them."""
    whole = package.resolve()
    candidates = [whole.parent / "verdicts", whole.with_name(f"{whole.name}.verdicts")]
    if len(whole.parents) > 2:  # noqa: PLR2004 - packages/NAME/DIGEST
        candidates.append(whole.parents[2] / "verdicts" / whole.parent.name / whole.name)
    return next((folder for folder in candidates if folder.is_dir()), None)


def _check_package(folder: Path, expected: str) -> tuple[str, int, list[str]]:
    try:
        digest = package_digest(folder)
    except (PackageInvalidError, OSError) as error:
        return "", 0, [f"package: {error}"]
    entries = sorted(folder.rglob("*"))
    problems = [f"package: {file} is missing; it is incomplete" for file in NEEDED if not (folder / file).is_file()]
    problems += [
        f"package: {_below(folder, e)} is a link, which the digest does not hold" for e in entries if e.is_symlink()
    ]
    problems += [
        f"package: {_below(folder, e)} may hold code; packages hold data only" for e in entries if e.suffix in _CODE
    ]
    if expected not in {"", digest}:
        problems.append(f"package: its digest is {digest}, not {expected}: it was changed, or is another model")
    return digest, sum(entry.is_file() for entry in entries), problems


def _below(folder: Path, entry: Path) -> str:
    return entry.relative_to(folder).as_posix()


def _name_of(package: Path) -> tuple[str, str]:
    try:
        return str(json.loads((package / "fairlead" / "package.json").read_bytes())["name"]), ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        return "", f"package: fairlead/package.json cannot be read ({error!r})"


def _demand(terms: Terms, verdicts: Sequence[Verdict]) -> tuple[PolicySpec | None, Demand]:
    anybody = {EVERY: tuple(terms.trusted)} if terms.trusted else {}
    if terms.policy is None:
        judges = tuple(dict.fromkeys(verdict.judge for verdict in verdicts))
        return None, Demand(judges, anybody, terms.trusted or {})
    spec = PolicySpec.parse(terms.policy, "policy")
    judges = tuple(dict.fromkeys(judge for stage in terms.stages for judge in getattr(spec, stage)))
    demand = policies.demand_of(spec, judges, terms.trusted)
    return spec, demand if demand.keys else Demand(judges, anybody, demand.trusted, demand.maximum_age)


def _refusal(spec: PolicySpec, name: str) -> list[str]:
    try:
        policies.accept(spec, name)
    except FairleadError as error:
        return [f"policy: {error}"]
    return []


def _judged(verdicts: Sequence[Verdict], demand: Demand, digest: str, has_policy: bool) -> list[Finding]:
    findings = []
    for verdict in sorted(verdicts, key=lambda known: (known.judge, known.created_at)):
        problem = _wrong(verdict, demand, digest)
        findings.append(Finding(verdict.judge, verdict, has_policy and verdict.judge in demand.judges, problem))
    return findings


def _wrong(verdict: Verdict, demand: Demand, digest: str) -> str:
    if verdict.model_digest != digest:
        return f"it is for another model ({verdict.model_digest[:19]})"
    return trouble(verdict, demand) or objection(verdict.judge, [verdict], demand, digest).partition(": ")[2]


def _missing(verdicts: Sequence[Verdict], demand: Demand) -> list[Finding]:
    there = {verdict.judge for verdict in verdicts}
    return [Finding(judge, None, True, "no verdict") for judge in demand.judges if judge not in there]


def _objections(findings: Sequence[Finding], verdicts: Sequence[Verdict], demand: Demand, digest: str) -> list[str]:
    """What the policy objects to, and signatures that do not fit under verdicts that nobody demands."""
    fitting = replace(demand, keys={})
    texts = [objection(judge, verdicts, demand, digest) for judge in demand.judges]
    forged = [
        f"{found.judge}: {found.problem}"
        for found in findings
        if found.verdict and found.judge not in demand.judges and trouble(found.verdict, fitting)
    ]
    return [*filter(None, texts), *forged]

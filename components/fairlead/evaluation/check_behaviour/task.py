"""The work of check_behaviour: tests of a model's behaviour, verdict, report."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead.errors import ConfigurationError
from fairlead.evaluation.behaviour_spec import BehaviourSpec
from fairlead.evaluation.check_behaviour.changes import check_changes
from fairlead.evaluation.check_behaviour.expectations import check_expectations
from fairlead.evaluation.check_behaviour.report import write_report
from fairlead.evaluation.check_behaviour.sampling import draw_cases, given_cases
from fairlead.evaluation.check_behaviour.testing import Finding, run_test
from fairlead.evaluation.judgement import Judgement
from fairlead.evaluation.rows import check_columns
from fairlead.evaluation.scoring import open_package
from fairlead.progress import step
from fairlead.values import percent
from fairlead.verdicts import Verdict
from fairlead_serving.package import ModelPackage


def check_behaviour(
    package: Path | str, sample: Path | str, label: str, behaviour: Mapping[str, Any], verdict: Path | str,
    report: Path | str,
) -> Judgement:  # fmt: skip
    """Tests how a model behaves, and writes verdict and report.

    Args:
        package: The model package's folder.
        sample: The dataset that real rows are drawn from.
        label: The label's column.
        behaviour: The section `behaviour` of a problem; see BehaviourSpec.
        verdict: The verdict's file.
        report: The report's HTML file.

    Returns:
        The outcome: rejected where a required test fails, inconclusive where one is doubtful or could not be run,
        approved otherwise.

    Raises:
        ConfigurationError: A key of `behaviour` is wrong, a test does not fit the model, or the model predicts another
            label.
        SchemaError: A column is absent, or does not fit the model.
        DataError: A label is missing or none of the task.
        PackageError: The package is broken, or answers what is none of its task.
        SourceError: The dataset is unfinished or corrupt.
    """
    spec = BehaviourSpec.parse(behaviour, "behaviour")
    opened = open_package(package)
    tested = _run(opened, sample, label, spec)
    judged = judge(opened.digest, tested)
    write_report(report, opened.manifest, tested, judged, spec)
    judged.issue(verdict)
    figures = {**judged.figures, "approved": float(judged.outcome == "approved")}
    return Judgement(judged.outcome, opened.digest, figures)


def _run(opened: ModelPackage, sample: Path | str, label: str, spec: BehaviourSpec) -> list[Finding]:
    manifest = opened.manifest
    if manifest.label != label:
        raise ConfigurationError(
            f"the model predicts {manifest.label!r}, and is to be tested with {label!r}; give the label that it was "
            "trained for"
        )
    inputs = {i.name: i for i in manifest.inputs}
    given = {test.name: given_cases(test, label, manifest) for test in spec.tests if test.rows}
    for test in spec.tests:
        check_changes(test, inputs)
        check_expectations(test, manifest, has_labels=test.name not in given or given[test.name].labels is not None)
    real = [test for test in spec.tests if not test.rows]
    if real:
        check_columns(sample, opened, [label])
        given |= dict(zip((t.name for t in real), draw_cases(sample, label, manifest, real, spec.seed), strict=True))
    found = []
    with step("testing behaviour", len(spec.tests)) as progress:
        for test in spec.tests:
            found.append(run_test(opened, test, given[test.name], spec))
            progress.advance()
    return found


def judge(digest: str, tested: Sequence[Finding]) -> Verdict:
    """Comes to the verdict `behaviour`.

    Args:
        digest: The package that was tested.
        tested: What came of each test.

    Returns:
        Rejected where a required test fails, inconclusive where one is doubtful or was not run.
    """
    required = [test for test in tested if test.spec.required]
    failed = [test for test in required if test.outcome == "failed"]
    open_ones = [test for test in required if test.outcome in ("doubtful", "not run")]
    outcome = "rejected" if failed else "inconclusive" if open_ones else "approved"
    advisory = [test for test in tested if not test.spec.required and test.outcome != "passed"]
    reasons = [_reason(test) for test in [*failed, *open_ones, *advisory]]
    figures = {f"failures_{slug(test.spec.name)}": test.share.estimate for test in tested if test.rows}
    for name in ("passed", "failed", "doubtful", "not run"):
        figures[f"tests_{slug(name)}"] = float(sum(test.outcome == name for test in tested))
    thresholds: dict[str, float | str] = {f"{t.spec.name}: failures at most": t.spec.allowed_failures for t in required}
    return Verdict("behaviour", digest, outcome, figures, thresholds, reasons)  # type: ignore[arg-type]


def _reason(test: Finding) -> str:
    informs = "" if test.spec.required else " (informs only)"
    if test.outcome == "not run":
        return (
            f"{test.spec.name}{informs}: not run, no row of the sample can be tested; change `where`, or give more rows"
        )
    share = f"{test.failures} of {test.rows} rows ({percent(test.share.estimate)}) fail"
    bound = f"at most {percent(test.spec.allowed_failures)} may" if test.spec.allowed_failures else "none may"
    doubt = ", though chance could do this: draw more rows (`sample`)" if test.outcome == "doubtful" else ""
    return f"{test.spec.name}{informs}: {share}; {bound}{doubt}"


def slug(name: str) -> str:
    """A name as part of a figure's name: `a_late_aircraft`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")

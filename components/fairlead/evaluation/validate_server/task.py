"""The work of validate_server: a real server of the package is started, asked, loaded, provoked and stopped."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairlead import plots
from fairlead.errors import ConfigurationError, PlatformError
from fairlead.evaluation.judgement import Judgement
from fairlead.evaluation.serving_spec import ServerSpec
from fairlead.evaluation.serving_trial.asking import Asker
from fairlead.evaluation.serving_trial.payloads import Field, v1, v2
from fairlead.evaluation.serving_trial.plain_http import ConnectionLostError
from fairlead.evaluation.serving_trial.process import serving
from fairlead.evaluation.serving_trial.readiness import ReadinessWatch
from fairlead.evaluation.serving_trial.rows import TrialRows, read_rows
from fairlead.evaluation.serving_trial.signature import askable, image_shapes, read_fields
from fairlead.evaluation.validate_server.budgets import check_budgets
from fairlead.evaluation.validate_server.ending import broken_server, check_broken, check_drain
from fairlead.evaluation.validate_server.refusals import check_refusals
from fairlead.evaluation.validate_server.serving_truth import check_readiness, check_truth
from fairlead.evaluation.validate_server.trial import Findings, Trial
from fairlead.progress import Step, step
from fairlead.verdicts import Outcome, Verdict
from fairlead_serving.package import ModelPackage

PARTS = 6
BODY_BYTES = 2 * 2**20  # half of what fairlead's own server takes
JSON_BYTES_OF_A_PIXEL = 5  # "255, "
PREDICTION_SECONDS = 1.0
FEWEST_ROWS = 2


def validate_server(
    package: Path | str,
    sample: Path | str,
    label: str,
    server: Mapping[str, Any],
    verdict: Path | str,
    report: Path | str,
) -> Judgement:
    """Tries the server of a package, and writes verdict and report.

    Args:
        package: The model package.
        sample: The dataset of real rows that the server is asked with.
        label: The label's column, which the package must predict.
        server: The section `server` of a problem; see ServerSpec.
        verdict: The verdict's file.
        report: The report's HTML file.

    Returns:
        The outcome: approved where every check passed, rejected where one failed, inconclusive where this machine was
        too busy to tell.

    Raises:
        ConfigurationError: A key of `server` is wrong, or the package predicts another label.
        SchemaError: The sample lacks what the model's clients send.
        DataError: The sample has no rows.
        PackageError: The package is broken.
        PlatformError: The server's program cannot be started at all.
        SourceError: The sample is unfinished or corrupt.
    """
    from fairlead.evaluation.scoring import open_package
    from fairlead.evaluation.validate_server.report import write_report

    spec, opened = ServerSpec.parse(server, "server"), open_package(package)
    if opened.manifest.label != label:
        raise ConfigurationError(
            f"the package predicts {opened.manifest.label!r}, and its server is to be tried for {label!r}; give the "
            "package of this problem"
        )
    with step("trying the server", PARTS) as progress:
        findings = try_server(opened, sample, spec, progress)
        judged = judge(opened.digest, spec, findings)
        write_report(report, judged, spec, opened.manifest, findings)
    judged.issue(verdict)
    facts = {"approved": float(judged.outcome == "approved"), "checks": float(len(findings.checks))}
    return Judgement(judged.outcome, judged.model_digest, {**judged.figures, **facts})


def try_server(package: ModelPackage, sample: Path | str, spec: ServerSpec, progress: Step) -> Findings:
    """Starts a server and makes every check.

    Args:
        package: What is served.
        sample: Real rows.
        spec: What is demanded.
        progress: Is advanced with each part.

    Returns:
        What was found. Where the server does not even start, that is the only check.
    """
    findings = Findings()
    with serving(package, spec) as server:
        watch = ReadinessWatch(server, package.manifest)
        watch.start()
        rows = read_rows(sample, package, spec.rows)  # while the server starts
        package.load()
        plots.figure()  # what the report needs is imported now, while there is nothing else to do
        try:
            ready_seconds, objection = watch.result()
            metadata = server.ask("GET", f"/v2/models/{server.name}")
            fields = askable(read_fields(metadata, image_shapes(package.manifest)), rows.columns)
        except (PlatformError, ConnectionLostError) as error:
            findings.add("readiness", "failed", f"ready within {spec.ready_timeout_seconds:g} s", str(error))
            return findings
        findings.phases["start"] = ready_seconds
        progress.advance()
        rows = affordable(rows, fields)
        findings.figures["rows"] = float(rows.count)
        with Asker(server, fields) as asker:
            trial = Trial(server, asker, rows, spec, findings)
            check_readiness(trial, ready_seconds, objection)
            _check_all(trial, ready_seconds, progress)
    return findings


def affordable(rows: TrialRows, fields: Sequence[Field]) -> TrialRows:
    """Takes fewer rows where one is large or slow: all go in one request, a dozen times.

    Args:
        rows: The rows.
        fields: What requests hold.
    """
    first = rows.take([0])
    rows.expected(first)  # the first prediction is slower than others
    started = time.perf_counter()
    rows.expected(first)
    seconds = time.perf_counter() - started
    pixels = sum(int(np.prod(item.shape)) for item in rows.package.manifest.images)
    largest = max(len(v2(fields, first).body), len(v1(fields, first).body), JSON_BYTES_OF_A_PIXEL * pixels)
    count = min(rows.count, int(BODY_BYTES / largest), int(PREDICTION_SECONDS / max(seconds, 1e-9)))
    return rows if count >= rows.count else rows.thinned(max(count, FEWEST_ROWS))


def _check_all(trial: Trial, ready_seconds: float, progress: Step) -> None:
    def part(name: str, check: Callable[[], None]) -> None:
        started = time.perf_counter()
        check()
        trial.findings.phases[name] = time.perf_counter() - started
        progress.advance()

    with broken_server(trial.rows.package, trial.spec) as broken:  # it has until the end to say that it is ready
        part("predictions", lambda: check_truth(trial))
        part("malformed requests", lambda: check_refusals(trial))
        part("budgets", lambda: check_budgets(trial))
        part("the end", lambda: check_drain(trial))
        part("a broken model", lambda: check_broken(trial, broken, 2 * ready_seconds))


def judge(digest: str, spec: ServerSpec, findings: Findings) -> Verdict:
    """Comes to the verdict `server`.

    Args:
        digest: The package that was served.
        spec: What was demanded.
        findings: What was found.

    Returns:
        Rejected where a check failed, inconclusive where one is unclear, otherwise approved.
    """
    failed = [check for check in findings.checks if check.result == "failed"]
    unclear = [check for check in findings.checks if check.result == "unclear"]
    outcome: Outcome = "rejected" if failed else "inconclusive" if unclear else "approved"
    reasons = [f"{check.name}: {check.measured} (demanded: {check.demanded})" for check in failed or unclear]
    thresholds: dict[str, float | str] = {
        "tolerance": spec.tolerance,
        "memory_megabytes at most": spec.maximum_memory_megabytes,
        "memory_growth_megabytes at most": spec.maximum_growth_megabytes,
        "p99_seconds at most": spec.maximum_p99_seconds,
        "rate": spec.rate,
        "drain_seconds at most": spec.drain_seconds,
        "protocols": ", ".join(spec.asked),
        "server": "fairlead_serving" if spec.own else " ".join(spec.command),
    }
    figures = {name: float(value) for name, value in findings.figures.items()}
    if spec.skip:
        reasons.append(f"left out as the problem says: {', '.join(spec.skip)}")
    return Verdict("server", digest, outcome, figures, thresholds, reasons)

"""The work of load_test_model: the real server of a package under an open load, at one rate after the other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairlead import plots
from fairlead.errors import ConfigurationError
from fairlead.evaluation.judgement import Judgement
from fairlead.evaluation.load_test_model.steps import RateStep, run_steps
from fairlead.evaluation.serving_spec import LoadSpec
from fairlead.evaluation.serving_trial.asking import Asker
from fairlead.evaluation.serving_trial.grpc_client import infer_request
from fairlead.evaluation.serving_trial.latencies import QUANTILES, can_tell, quantile
from fairlead.evaluation.serving_trial.open_loop import Target, wire
from fairlead.evaluation.serving_trial.payloads import WRITERS, path_of
from fairlead.evaluation.serving_trial.process import HOST, ServerProcess, serving
from fairlead.evaluation.serving_trial.rows import TrialRows, read_rows
from fairlead.evaluation.serving_trial.signature import askable, image_shapes, read_fields
from fairlead.progress import step
from fairlead.verdicts import Outcome, Verdict

DISTINCT_REQUESTS = 64


def load_test_model(
    package: Path | str,
    sample: Path | str,
    label: str,
    load: Mapping[str, Any],
    verdict: Path | str,
    report: Path | str,
) -> Judgement:
    """Loads the server of a package at ascending rates, and writes verdict and report.

    Args:
        package: The model package.
        sample: The dataset of real rows that the server is asked with.
        label: The label's column, which the package must predict.
        load: The section `load` of a problem; see LoadSpec.
        verdict: The verdict's file.
        report: The report's HTML file.

    Returns:
        The outcome: approved where the objective is met at the demanded rate, rejected where it is missed there or
        below, inconclusive where the client could not keep up, or chance may explain a miss.

    Raises:
        ConfigurationError: A key of `load` is wrong, or the package predicts another label.
        SchemaError: The sample lacks what the model's clients send.
        DataError: The sample has no rows.
        PackageError: The package is broken.
        PlatformError: The server does not start, or does not answer a valid request.
        SourceError: The sample is unfinished or corrupt.
    """
    from fairlead.evaluation.load_test_model.report import write_report
    from fairlead.evaluation.scoring import open_package

    spec, opened = LoadSpec.parse(load, "load"), open_package(package)
    if opened.manifest.label != label:
        raise ConfigurationError(
            f"the package predicts {opened.manifest.label!r}, and its server is to be loaded for {label!r}; give the "
            "package of this problem"
        )
    with step("loading the server", len(spec.rates) + 1) as progress, serving(opened, spec) as server:
        rows = read_rows(sample, opened, DISTINCT_REQUESTS * spec.rows_per_request)
        plots.figure()  # imported while the server starts
        server.wait_ready()
        target = _target(server, rows, spec)
        progress.advance()
        steps = run_steps(target, spec, progress)
        memory = server.memory_bytes()
    judged = judge(opened.digest, spec, steps)
    write_report(report, judged, spec, opened.manifest, steps, memory)
    judged.issue(verdict)
    facts = {"approved": float(judged.outcome == "approved"), "memory_megabytes": memory / 1e6}
    return Judgement(judged.outcome, judged.model_digest, {**judged.figures, **facts})


def _target(server: ServerProcess, rows: TrialRows, spec: LoadSpec) -> Target:
    """Different requests of real rows; the first is asked beforehand, so that not errors are measured."""
    metadata = server.ask("GET", f"/v2/models/{server.name}")
    fields = askable(read_fields(metadata, image_shapes(rows.package.manifest)), rows.columns)
    size = spec.rows_per_request
    starts = range(0, max(1, rows.count - size + 1), size)
    batches = [rows.take([row % rows.count for row in range(start, start + size)]) for start in starts]
    with Asker(server, fields) as asker:
        asker.predict(spec.protocol, batches[0])
    if spec.protocol == "grpc":
        messages = [infer_request(server.name, fields, batch).SerializeToString() for batch in batches]
        return Target(HOST, server.grpc_port, messages, grpc=True)
    path, write = path_of(spec.protocol, server.name), WRITERS[spec.protocol]
    wires = [wire(HOST, server.port, path, write(fields, batch)) for batch in batches]
    return Target(HOST, server.port, wires, connections=spec.connections)


def judge(digest: str, spec: LoadSpec, steps: Sequence[RateStep]) -> Verdict:
    """Comes to the verdict `load`.

    Args:
        digest: The package that was served.
        spec: The objective and the rate at which it must be met.
        steps: The rates that were tried, ascending.
    """
    demanded = spec.demanded_rate
    met = [step.rate for step in steps if step.result == "met"]
    short = [step for step in steps if step.rate <= demanded and step.result != "met"]
    outcome: Outcome = "approved"
    if short:
        outcome = "rejected" if any(step.result == "missed" for step in short) else "inconclusive"
    reasons = [f"{step.rate:g} requests/s: {step.reason}" for step in short] + _remarks(spec, steps)
    thresholds: dict[str, float | str] = {
        "p99_seconds at most": spec.p99_seconds,
        "error_share at most": spec.error_share,
        "rate": demanded,
        "arrivals": spec.arrivals,
        "protocol": spec.protocol,
        "rows_per_request": spec.rows_per_request,
    }
    return Verdict("load", digest, outcome, _figures(max(met, default=0.0), steps), thresholds, reasons)


def _remarks(spec: LoadSpec, steps: Sequence[RateStep]) -> list[str]:
    above = [step for step in steps if step.rate > spec.demanded_rate and step.result != "met"]
    if above:
        return [f"beyond what is demanded, at {above[0].rate:g} requests/s: {above[0].reason}"]
    if steps and steps[-1].rate == spec.rates[-1] and steps[-1].result == "met":
        return [f"the objective is met at every rate that was tried, up to {spec.rates[-1]:g} requests/s"]
    return []


def _figures(highest: float, steps: Sequence[RateStep]) -> dict[str, float]:
    figures = {"highest_rate": highest}
    for tried in steps:
        latencies = tried.load.latencies
        for share in QUANTILES:
            value = quantile(latencies, share)
            if can_tell(share, latencies.size) and np.isfinite(value):
                figures[f"p{share * 100:g}_seconds_at_{tried.rate:g}".replace(".", "_")] = value
        figures[f"error_share_at_{tried.rate:g}".replace(".", "_")] = float(tried.load.failed.mean())
    return figures

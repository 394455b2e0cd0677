"""load_test_model: real servers under an open load; a slow, a failing and a good one; a client that cannot keep up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from models import tiny_package, tiny_rows

from fairlead import datasets
from fairlead.errors import ConfigurationError, PlatformError
from fairlead.evaluation.judgement import Judgement
from fairlead.evaluation.load_test_model.steps import conclude
from fairlead.evaluation.load_test_model.task import load_test_model
from fairlead.evaluation.serving_spec import LoadSpec
from fairlead.evaluation.serving_trial.open_loop import Load
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest

OTHER = str(Path(__file__).resolve().parents[1] / "tiny_v2_server.py")
QUICK: dict[str, Any] = {
    "rates": [20.0, 60.0], "seconds": 1.0, "minimum_requests": 100, "p99_seconds": 0.5, "warm_up_requests": 20,
}  # fmt: skip
Run = Callable[..., Judgement]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package."""
    return tiny_package(tmp_path / "package")


@pytest.fixture
def run(package: Path, tmp_path: Path) -> Run:
    """Load a server of the package; the verdict goes to v.json, the report to r.html."""
    table = pa.table(tiny_rows(200, seed=3))
    datasets.write_dataset(tmp_path / "sample", table.to_batches(), table.schema, name="sample", source="drawn")

    def load(*faults: str, other: bool = True, label: str = "late", **spec: Any) -> Judgement:
        command = {"command": ["{python}", OTHER, "{package}", "{name}", "{port}", *faults]} if other else {}
        section = {**QUICK, **command, **spec}
        return load_test_model(package, tmp_path / "sample", label, section, tmp_path / "v.json", tmp_path / "r.html")

    return load


@pytest.mark.parametrize("protocol", [pytest.param("v2-binary", marks=pytest.mark.slow), "grpc"])
def test_a_good_server_is_approved(run: Run, package: Path, tmp_path: Path, protocol: str) -> None:
    """The highest rate that met the objective is told, with quantiles that so many requests can tell."""
    done = run(other=False, protocol=protocol, rows_per_request=3)
    verdict = Verdict.read(tmp_path / "v.json")
    assert done.outcome == verdict.outcome == "approved", verdict.reasons
    assert (verdict.judge, verdict.model_digest) == ("load", package_digest(package))
    assert done.metrics["highest_rate"] == 60
    assert 0 < verdict.figures["p50_seconds_at_20"] <= verdict.figures["p99_seconds_at_20"] < 0.5
    assert "p99_9_seconds_at_20" not in verdict.figures
    page = (tmp_path / "r.html").read_text()
    assert "Quantiles" in page
    assert "Over time" in page


def test_a_slow_server_is_rejected(run: Run, tmp_path: Path) -> None:
    """Each answer takes 0.2 s: the objective is missed at the first rate, and higher ones are not tried."""
    done = run("slow", p99_seconds=0.15)
    verdict = Verdict.read(tmp_path / "v.json")
    assert (done.outcome, done.metrics["highest_rate"]) == ("rejected", 0)
    assert "for 99 of 100 requests" in verdict.reasons[0]
    assert "p50_seconds_at_60" not in verdict.figures


def test_waiting_counts_from_when_a_request_was_due(run: Run, tmp_path: Path) -> None:
    """One connection to a server that takes 0.03 s bears 33 requests a second; at 100 a second the queue is seen."""
    run("busy", connections=1, seconds=1.0, rates=[100.0], p99_seconds=1.0, arrivals="constant", timeout_seconds=60)
    figures = Verdict.read(tmp_path / "v.json").figures
    assert figures["p50_seconds_at_100"] > 0.9
    assert figures["p99_seconds_at_100"] > 1.9


def test_failures_are_a_share_of_the_requests(run: Run, tmp_path: Path) -> None:
    """A server that fails on gaps fails on no request here; one that loses every connection cannot be tried."""
    assert run(error_share=0.0).outcome == "approved"
    dead = ["{python}", "-c", "import time; print('{port}'); time.sleep(60)"]
    with pytest.raises(PlatformError, match="not ready within"):
        run(command=dead, ready_timeout_seconds=1.0)
    with pytest.raises(ConfigurationError, match="the package predicts 'late'"):
        run(label="early")


def load_of(latencies: np.ndarray, lag: float = 0.0, share: float = 0.1, failed: int = 0) -> Load:
    """A load that came out so."""
    due = np.arange(latencies.size) / 100
    statuses = np.where(np.arange(latencies.size) < failed, 0, 200)
    return Load(due, due + lag, due + latencies, statuses, float(due[-1] + 1), share)


SPEC = LoadSpec(p99_seconds=0.05, error_share=0.01)


@pytest.mark.parametrize(
    ("load", "result", "word"),
    [
        (load_of(np.full(500, 0.01)), "met", ""),
        (load_of(np.full(500, 0.06)), "missed", "60.0 ms"),
        (load_of(np.full(500, 0.06), lag=0.02), "unclear", "20.0 ms late"),
        (load_of(np.full(500, 0.2), lag=0.02), "missed", "200.0 ms"),
        (load_of(np.full(500, 0.06), share=0.97), "unclear", "97% of a core"),
        (load_of(np.full(500, 0.01), lag=0.009, share=0.97), "met", ""),
        (load_of(np.where(np.arange(500) < 7, 0.06, 0.01)), "unclear", "may be chance"),
        (load_of(np.where(np.arange(500) < 20, 0.06, 0.01)), "missed", "60.0 ms"),
        (load_of(np.full(500, 0.01), failed=30), "missed", "30 x connection lost"),
        (load_of(np.full(500, 0.01), failed=4), "met", ""),
    ],
)
def test_a_rate_is_met_missed_or_cannot_be_told(load: Load, result: str, word: str) -> None:
    """A client that was late, or a few late ones by chance, leave it open; what is met is met all the same."""
    step = conclude(100, load, SPEC)
    assert step.result == result
    assert word in step.reason


def test_a_client_that_cannot_keep_up_blames_nobody(run: Run, tmp_path: Path) -> None:
    """At 40,000 requests a second no client of one core keeps up: inconclusive, not rejected."""
    done = run(rates=[40_000.0], minimum_requests=4000, seconds=0.5, p99_seconds=0.01, timeout_seconds=2.0)
    (reason,) = Verdict.read(tmp_path / "v.json").reasons
    assert done.outcome == "inconclusive"
    assert "the client could not keep up" in reason


def test_the_component_writes_all_outputs(run: Run, package: Path, tmp_path: Path) -> None:
    """Outcome, verdict's metadata, metrics and report."""
    from kfp import dsl

    from fairlead.evaluation.load_test_model.component import load_test_model as component

    model, rows = dsl.Model(uri=str(package)), dsl.Dataset(uri=str(tmp_path / "sample"))
    verdict, metrics = dsl.Artifact(uri=str(tmp_path / "v")), dsl.Metrics(uri=str(tmp_path / "m"))
    section = {**QUICK, "command": ["{python}", OTHER, "{package}", "{name}", "{port}"], "rates": [40.0]}
    (outcome,) = component.python_func(
        model, rows, "late", section, verdict, metrics, dsl.HTML(uri=str(tmp_path / "r"))
    )
    assert outcome in ("approved", "inconclusive")
    assert verdict.metadata["judge"] == "load"
    assert metrics.metadata["memory_megabytes"] > 10

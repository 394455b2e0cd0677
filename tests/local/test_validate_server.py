"""validate_server: fairlead's own server and another one pass; each check fails where its fault is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from models import tiny_package, tiny_rows

from fairlead import datasets
from fairlead.errors import ConfigurationError, PlatformError, SchemaError
from fairlead.evaluation.serving_spec import ServerSpec
from fairlead.evaluation.validate_server.task import try_server, validate_server
from fairlead.evaluation.validate_server.trial import Findings
from fairlead.progress import step
from fairlead.verdicts import Verdict
from fairlead_serving.package import ModelPackage, package_digest

OTHER = str(Path(__file__).resolve().parents[1] / "tiny_v2_server.py")
QUICK: dict[str, Any] = {
    "rows": 24, "memory_requests": 100, "load_seconds": 0.5, "rate": 60.0, "maximum_p99_seconds": 0.15,
    "drain_seconds": 4.0, "attempts": 4,
}  # fmt: skip


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package."""
    return tiny_package(tmp_path / "package")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Real rows, some with gaps."""
    rows = tiny_rows(300, seed=3)
    hours = [None if row % 7 == 0 else value for row, value in enumerate(rows["hour"].tolist())]
    table = pa.table({**rows, "hour": hours})
    datasets.write_dataset(tmp_path / "sample", table.to_batches(), table.schema, name="sample", source="drawn")
    return tmp_path / "sample"


@pytest.fixture
def trial(package: Path, sample: Path) -> Callable[..., Findings]:
    """Try the other server with some faults."""

    def run(*faults: str, **spec: Any) -> Findings:
        command = ["{python}", OTHER, "{package}", "{name}", "{port}", *faults]
        with step("trying") as progress:
            parsed = ServerSpec.parse({**QUICK, "command": command, **spec}, "server")
            return try_server(ModelPackage.open(package), sample, parsed, progress)

    return run


def failed(findings: Findings) -> set[str]:
    """The names of the checks that failed."""
    return {check.name for check in findings.checks if check.result == "failed"}


def explain(findings: Findings) -> str:
    """What did not pass, and why."""
    return "\n".join(str(check) for check in findings.checks if check.result != "passed")


def test_fairleads_own_server_is_approved(package: Path, sample: Path, tmp_path: Path) -> None:
    """Every check passes over all four protocols; the verdict is bound to the digest, the report tells all."""
    done = validate_server(package, sample, "late", QUICK, tmp_path / "v.json", tmp_path / "r.html")
    verdict = Verdict.read(tmp_path / "v.json")
    assert (done.outcome, verdict.reasons) == ("approved", [])
    assert verdict.judge == "server"
    assert verdict.model_digest == done.digest == package_digest(package)
    assert {"parity_v1", "parity_v2", "parity_v2_binary", "parity_grpc"} <= verdict.figures.keys()
    assert max(value for name, value in verdict.figures.items() if name.startswith("parity")) <= 1e-6
    assert verdict.figures["malformed_requests"] > 80
    assert verdict.figures["malformed_accepted"] == 0
    page = (tmp_path / "r.html").read_text()
    for word in ("parity over V2 gRPC", "SIGTERM", "Latency under a bounded load", "a text that is not UTF-8"):
        assert word in page


def test_another_server_is_tried_by_its_command(trial: Callable[..., Findings]) -> None:
    """A server that shares no code with fairlead's passes: nothing but V2 is asked of it."""
    findings = trial()
    assert failed(findings) == set(), explain(findings)
    assert {"parity over V2 JSON", "memory", "latency", "SIGTERM"} <= {check.name for check in findings.checks}
    assert not any("gRPC" in check.name for check in findings.checks)


@pytest.mark.parametrize(
    ("faults", "names"),
    [
        (["wrong-output", "no-end"], {"parity over V2 JSON", "missing values", "unknown categories", "SIGTERM",
                                      "valid requests after all that"}),
        (["batch-dependent", "error-500"], {"batch of one = batch of many", "parity over V2 JSON", "missing values",
                                            "unknown categories", "malformed requests over REST",
                                            "no HTTP at all, clients that hang up",
                                            "valid requests after all that"}),
        (["wrong-metadata"], {"metadata"}),
        (["unknown-as-known", "leak", "no-text"], {"unknown categories", "memory", "malformed requests over REST"}),
        (["slow", "wrong-digest", "any-ready"], {"latency", "digest", "readiness"}),
        (["heavy", "drop", "no-drain"], {"memory", "malformed requests over REST", "SIGTERM"}),
        (["accepts-anything"], {"malformed requests over REST"}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_each_check_fails_where_its_fault_is(
    trial: Callable[..., Findings], faults: list[str], names: set[str]
) -> None:
    """The faults are found by the checks that are there for them, and by no other."""
    spec = {"digest_header": "x-fairlead-digest"} if "wrong-digest" in faults else {}
    findings = trial(*faults, maximum_memory_megabytes=300, **spec)
    assert failed(findings) == names, explain(findings)


def test_a_server_that_is_ready_too_early_is_found(trial: Callable[..., Findings]) -> None:
    """Ready before it predicts, and ready although its model can never be loaded: both are seen."""
    findings = trial("lying-ready", memory_requests=100)
    assert {"readiness", "readiness with a broken model"} <= failed(findings)
    (check,) = [check for check in findings.checks if check.name == "readiness"]
    assert "the model is being loaded" in check.measured


def test_a_server_that_a_malformed_request_kills_is_found(trial: Callable[..., Findings]) -> None:
    """The check says so, and so do those that no longer find a server."""
    findings = trial("dies")
    assert {"malformed requests over REST", "valid requests after all that", "SIGTERM"} <= failed(findings)
    assert "the connection was dropped" in explain(findings)
    assert "the server is no more" in explain(findings)


def test_a_server_that_fails_on_a_gap_is_found(trial: Callable[..., Findings]) -> None:
    """500 for a missing value is a failure of every check that sends one."""
    findings = trial("nan-crash")
    assert "missing values" in failed(findings)
    assert "answers a valid request over v2 500" in explain(findings)


def test_a_server_that_does_not_start_is_rejected_with_its_log(package: Path, sample: Path, tmp_path: Path) -> None:
    """The end of what it wrote is the reason."""
    broken = {**QUICK, "command": ["{python}", "-c", "raise SystemExit('no licence for {port}')"]}
    done = validate_server(package, sample, "late", broken, tmp_path / "v.json", tmp_path / "r.html")
    (reason,) = Verdict.read(tmp_path / "v.json").reasons
    assert done.outcome == "rejected"
    assert "ended with status 1" in reason
    assert "no licence" in reason


def test_what_cannot_be_tried_is_an_error(package: Path, sample: Path, tmp_path: Path) -> None:
    """Another label, rows of another kind, a program that does not exist: the text says what to do."""
    files = (tmp_path / "v.json", tmp_path / "r.html")
    with pytest.raises(ConfigurationError, match="the package predicts 'late'"):
        validate_server(package, sample, "early", {}, *files)
    table = pa.table({"hour": [1.0], "late": [1]})
    datasets.write_dataset(tmp_path / "other", table.to_batches(), table.schema, name="other", source="drawn")
    with pytest.raises(SchemaError, match="has no column"):
        validate_server(package, tmp_path / "other", "late", {}, *files)
    with pytest.raises(PlatformError, match="cannot be started"):
        validate_server(package, sample, "late", {"command": ["no-such-program", "{port}"]}, *files)


def test_the_component_writes_all_outputs(package: Path, sample: Path, tmp_path: Path) -> None:
    """Outcome, verdict's metadata, metrics and report."""
    from kfp import dsl

    from fairlead.evaluation.validate_server.component import validate_server as component

    model, rows = dsl.Model(uri=str(package)), dsl.Dataset(uri=str(sample))
    verdict, metrics = dsl.Artifact(uri=str(tmp_path / "v")), dsl.Metrics(uri=str(tmp_path / "m"))
    command = ["{python}", OTHER, "{package}", "{name}", "{port}"]
    section = {**QUICK, "rows": 8.0, "command": command, "maximum_p99_seconds": 5.0}
    (outcome,) = component.python_func(
        model, rows, "late", section, verdict, metrics, dsl.HTML(uri=str(tmp_path / "r"))
    )
    assert outcome in ("approved", "inconclusive")
    assert verdict.metadata["judge"] == "server"
    assert metrics.metadata["memory_megabytes"] > 10

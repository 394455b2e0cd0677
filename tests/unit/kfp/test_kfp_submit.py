"""`fairlead submit` and `fairlead follow` against a stand-in that is held to the API's own models."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from kfp_backend import Backend, Fault
from kfp_life import Plan

from fairlead.verdicts import Verdict

Fairlead = Callable[..., Result]
DIGEST = "sha256:" + "a" * 64


def planned() -> Plan:
    """What the steps of the small pipeline leave behind."""
    page = b"<!doctype html><html><body><main><h1>Rows</h1><p>four rows came</p></main></body></html>"
    verdict = Verdict("behaviour", DIGEST, "rejected", {"failures": 0.25}, reasons=["a quarter of the tests failed"])
    data = {
        "parameters": {"rows": 4.0, "digest": DIGEST},
        "artifacts": {"dataset": (None, {"rows": 4, "digest": DIGEST, "licence": "CC0"})},
    }
    judged = {
        "parameters": {"outcome": "rejected"},
        "artifacts": {
            "verdict": (verdict.to_text().encode(), {"judge": "behaviour"}),
            "report": (page, {}),
            "metrics": (None, {"failures": 0.25}),
        },
    }
    return Plan(outputs={"ingest-dataset": data, "check-behaviour": judged}, cached={"ingest-dataset"})


def record(folder: Path) -> dict[str, object]:
    """The record of the one run in a state folder."""
    (file,) = (folder / ".fairlead" / "runs" / "rows-on-kfp").glob("*/run.json")
    return dict(json.loads(file.read_text()))


def test_runs_to_the_end_and_leaves_a_report(
    backend: Backend, fairlead: Fairlead, pipeline_file: Path, tmp_path: Path
) -> None:
    """A run is uploaded, started, followed and fetched; the report of it is the same page as of a run here."""
    backend.plan = planned()
    ended = fairlead("submit", str(pipeline_file))
    assert ended.exit_code == 0, ended.output
    assert "rows version" in ended.output
    assert "rows succeeded after 60 s (4 steps, 1 reused)" in ended.output
    (run,) = backend.store.runs
    assert f"{backend.uri}/#/runs/details/{run['run_id']}" in ended.output
    assert run["runtime_config"]["parameters"] == {}
    kept = record(tmp_path)
    tasks = {task["name"]: task for task in kept["tasks"]}  # type: ignore[attr-defined]
    assert sorted((name, task["state"]) for name, task in tasks.items()) == [
        ("check-behaviour", "succeeded"), ("fetch-model", "succeeded"), ("ingest-dataset", "cached"),
        ("split-dataset", "succeeded"),
    ]  # fmt: skip
    assert tasks["ingest-dataset"]["outputs"]["rows"] == 4
    page = fairlead("report", run["run_id"])
    assert page.exit_code == 0, page.output
    text = Path(page.output.strip()).read_text()
    for told in ("four rows came", DIGEST, "a quarter of the tests failed", "failures"):
        assert told in text
    assert "a quarter of the tests failed" in ended.output


def test_same_package_is_the_same_version(backend: Backend, fairlead: Fairlead, pipeline_file: Path) -> None:
    """What the server has is not sent again; the values of a run are the run's, not the version's."""
    first = fairlead("submit", str(pipeline_file), "--no-follow")
    second = fairlead("submit", str(pipeline_file), "share=1", "--no-follow", "--run-name", "second")
    assert "(uploaded)" in first.output
    assert "(there already)" in second.output, second.output
    (version,) = backend.store.versions
    assert "package sha256:" in version["description"]
    assert backend.store.runs[1]["runtime_config"]["parameters"] == {"share": 1.0}
    assert backend.store.runs[1]["display_name"] == "second"
    assert len(backend.store.experiments) == 1
    pipeline_file.write_text(pipeline_file.read_text().replace("0.2", "0.3"))
    assert "(uploaded)" in fairlead("submit", str(pipeline_file), "--no-follow").output
    assert len(backend.store.versions) == 2


def test_name_of_a_version_is_not_taken_twice(backend: Backend, fairlead: Fairlead, pipeline_file: Path) -> None:
    """A version that a user named is never another package by the same name."""
    assert fairlead("submit", str(pipeline_file), "--version", "v1", "--no-follow").exit_code == 0
    pipeline_file.write_text(pipeline_file.read_text().replace("0.2", "0.3"))
    refused = fairlead("submit", str(pipeline_file), "--version", "v1", "--no-follow")
    assert refused.exit_code == 1
    assert "version 'v1' of rows" in refused.output
    assert len(backend.store.runs) == 1


@pytest.mark.parametrize("gone", [False, True])
def test_failed_task_tells_why(
    backend: Backend, fairlead: Fairlead, pipeline_file: Path, tmp_path: Path, *, gone: bool
) -> None:
    """The last lines of the failed step's log are shown, and kept, also after its pod has been cleaned up."""
    log = "\n".join(f"line {n}" for n in range(50)) + "\nfairlead.errors.SourceError: rows.csv is not there"
    backend.plan = Plan(fails={"ingest-dataset": log}, pods_gone=gone)
    ended = fairlead("submit", str(pipeline_file))
    assert ended.exit_code == 1
    assert "ingest-dataset failed" in ended.output
    assert "SourceError: rows.csv is not there" in ended.output
    assert "line 3\n" not in ended.output
    assert "kubectl logs --namespace NAMESPACE flow-system-container-impl" in ended.output
    (kept,) = (tmp_path / ".fairlead").glob("runs/rows-on-kfp/*/logs/ingest-dataset.txt")
    assert kept.read_text() == log
    states = {task["name"]: task["state"] for task in record(tmp_path)["tasks"]}  # type: ignore[attr-defined]
    assert states["split-dataset"] == "skipped"


@pytest.mark.parametrize(
    "path", [r"POST .*/runs$", r"POST .*/upload_version$", r"POST .*/experiments$", r"POST .*/pipelines$"]
)
def test_lost_answer_does_nothing_twice(backend: Backend, fairlead: Fairlead, pipeline_file: Path, path: str) -> None:
    """Where the server did it but the answer got lost, the thing is found instead of made again."""
    backend.faults = [Fault(path, "cut after", 1)]
    ended = fairlead("submit", str(pipeline_file), "--no-follow", "--run-name", "once")
    assert ended.exit_code == 0, ended.output
    store = backend.store
    assert [len(table) for table in (store.pipelines, store.versions, store.experiments, store.runs)] == [1, 1, 1, 1]


@pytest.mark.parametrize("path", [r"POST .*/upload_version$", r"GET .*/runs/", r"POST .*/runs$", r"GET .*/healthz"])
@pytest.mark.parametrize("kind", [500, 503, "cut"])
def test_passing_failure_is_outlived(
    backend: Backend, fairlead: Fairlead, pipeline_file: Path, path: str, kind: int | str
) -> None:
    """A server that fails once is asked again."""
    backend.faults = [Fault(path, kind, 1)]
    ended = fairlead("submit", str(pipeline_file))
    assert ended.exit_code == 0, ended.output
    assert len(backend.store.runs) == 1


def test_pipelines_of_others_with_the_same_content_race(
    backend: Backend, fairlead: Fairlead, pipeline_file: Path
) -> None:
    """Two submissions at once: the slower one's 409 is no error, it takes what the faster one made."""
    backend.faults = [Fault(r"POST .*/upload_version$", "cut after", 1), Fault(r"POST .*/upload_version$", 409, 1)]
    assert fairlead("submit", str(pipeline_file), "--no-follow").exit_code == 0
    assert len(backend.store.versions) == 1


def test_interrupting_leaves_the_run(
    backend: Backend, fairlead: Fairlead, pipeline_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the following alone, and says how to go on with it; `fairlead follow` does."""

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fairlead_pipelines.kfp_server.following.time.sleep", stop)
        ended = fairlead("submit", str(pipeline_file), "--run-name", "mine")
    (run,) = backend.store.runs
    assert ended.exit_code == 130
    assert f"fairlead follow {run['run_id']}" in ended.output
    again = fairlead("follow", "mine")
    assert again.exit_code == 0, again.output
    assert "rows succeeded" in again.output
    assert fairlead("follow", run["run_id"]).exit_code == 0


def test_unknown_run(backend: Backend, fairlead: Fairlead) -> None:
    """A run that is not there is said so."""
    ended = fairlead("follow", "nobody")
    assert ended.exit_code == 1
    assert f"{backend.uri} knows no run nobody" in ended.output


def test_without_the_ui_the_run_is_followed_all_the_same(
    backend: Backend, fairlead: Fairlead, pipeline_file: Path
) -> None:
    """The API server alone hands out no figures; what is missing is named, with what to do."""
    backend.ui = False
    ended = fairlead("submit", str(pipeline_file))
    assert ended.exit_code == 0, ended.output
    assert "not fetched: figures and pages" in ended.output
    assert "ml-pipeline-ui" in ended.output


def test_one_page_that_is_gone_takes_nothing_else_along(
    backend: Backend, fairlead: Fairlead, pipeline_file: Path
) -> None:
    """An artifact that was deleted is named; the rest is fetched."""
    backend.plan = planned()
    backend.faults = [Fault(r"GET /artifacts/.*/report$", 404)]
    ended = fairlead("submit", str(pipeline_file))
    assert ended.exit_code == 0
    assert "not fetched: check-behaviour: report" in ended.output


def test_overlay_gives_the_run_its_account(backend: Backend, fairlead: Fairlead, pipeline_file: Path) -> None:
    """A run that changes nothing on the cluster gets the account without rights there; the command can name another."""
    assert fairlead("submit", str(pipeline_file), "--overlay", "staging", "--no-follow").exit_code == 0
    options = ("--overlay", "staging", "--service-account", "mine", "--no-follow")
    assert fairlead("submit", str(pipeline_file), *options).exit_code == 0
    assert [run["service_account"] for run in backend.store.runs] == ["fairlead-pipeline", "mine"]
    assert "platform_spec" in backend.store.versions[0]["pipeline_spec"]
    assert fairlead("follow", backend.store.runs[0]["run_id"]).exit_code == 0


def test_values_are_refused_before_anything_is_sent(backend: Backend, fairlead: Fairlead, pipeline_file: Path) -> None:
    """A wrong name of a value, or a wrong overlay, reaches no server."""
    ended = fairlead("submit", str(pipeline_file), "shar=1")
    assert ended.exit_code == 1
    assert "did you mean 'share'" in ended.output
    assert "there is no overlay" in fairlead("submit", str(pipeline_file), "--overlay", "stagin").output
    assert not backend.store.pipelines


def test_shipped_pipeline_is_taken_as_it_is(backend: Backend, fairlead: Fairlead) -> None:
    """The largest package, configured for production, with all its values: nothing that the server would refuse."""
    ended = fairlead("submit", "flights", "--overlay", "production", "train.epochs=1", "--no-follow")
    assert ended.exit_code == 0, ended.output
    (run,) = backend.store.runs
    assert run["service_account"] == "fairlead-run"
    assert run["runtime_config"]["parameters"]["train"]["epochs"] == 1

"""The run report: complete, safe to open, and written even from a run that broke."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fairlead import plots
from fairlead.errors import StateError
from fairlead.pages import Page
from fairlead.verdicts import Verdict
from fairlead_pipelines.report import find_run, latest_run, write_report

DIGEST = "sha256:" + "ab" * 32
ENDPOINT = "http://127.0.0.1:8080/v1/models/flights:predict"


def html(folder: Path, name: str) -> dict[str, Any]:
    """Write a page with a figure and return it as run.json tells of it."""
    figure, axes = plots.figure(3, 2)
    axes.plot([0, 1], [0, 1])
    Page("Same title").heading("Inside").text(f"content of {name}").figure(figure, "same").write(
        folder / f"{name}.html"
    )
    return {"uri": str(folder / f"{name}.html"), "type": "system.HTML", "metadata": {}}


def verdict(folder: Path, outcome: Any = "approved") -> dict[str, Any]:
    """Write a verdict and return it as run.json tells of it."""
    found = Verdict(
        "evaluation", DIGEST, outcome, {"roc_auc": 0.7211}, {"roc_auc": "≥ 0.62"}, ["it <b>knows</b> enough"]
    )
    found.write(folder / "verdict.json")
    return {"uri": str(folder / "verdict.json"), "type": "system.Artifact", "metadata": {}}


def task(name: str, *depends: str, state: str = "succeeded", **more: Any) -> dict[str, Any]:
    """Return a task as run.json tells of it."""
    outputs, error = more.get("outputs", {}), more.get("error")
    component = name.replace("-", "_")
    return {
        "name": name, "component": component, "state": state, "seconds": more.get("seconds", 1.5),
        "depends": list(depends), "outputs": outputs, "error": error,
    }  # fmt: skip


def record(home: Path, tasks: list[dict[str, Any]], run_id: str = "r1", **more: Any) -> Path:
    """Write a run and return its folder."""
    folder = home / "runs" / "flights" / run_id
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "pipeline": "flights", "run_id": run_id, "state": "succeeded", "started": "2026-11-21T10:00:00+00:00",
        "finished": "2026-11-21T10:01:31+00:00", "arguments": {"as_of": "2013-06-01"}, "tasks": tasks,
        "endpoint": ENDPOINT,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(content | more))
    return folder


def good_run(home: Path) -> Path:
    """Write a run with one of everything."""
    home.mkdir(exist_ok=True)
    data = {"uri": "/gone", "type": "system.Dataset", "metadata": {"source": "pkg:x/y.csv", "digest": "sha256:da7a"}}
    metrics = {"uri": "/gone", "type": "system.Metrics", "metadata": {"roc_auc": 0.7211, "rows": 5000.0}}
    outputs = {"report": html(home, "evaluate"), "verdict": verdict(home), "metrics": metrics, "outcome": "approved"}
    tasks = [
        task("ingest-dataset", outputs={"dataset": data}, state="cached"),
        task("train-model", "ingest-dataset", outputs={"report": html(home, "train")}),
        task("evaluate-model", "train-model", "ingest-dataset", outputs=outputs),
    ]
    return record(home, tasks)


def test_a_report_tells_the_whole_run(tmp_path: Path) -> None:
    """Outcome, endpoint, verdict, figures, pages of the steps in order, lineage: all in one file."""
    text = write_report(good_run(tmp_path), tmp_path / "out.html").read_text()
    told = (
        ENDPOINT,
        "0.7211",
        "≥ 0.62",
        "pkg:x/y.csv",
        "sha256:da7a",
        "took 1 min 31 s",
        "2 steps succeeded, 1 cached",
    )
    assert [part for part in told if part not in text] == []
    assert text.index("content of train") < text.index("content of evaluate")


def test_a_step_is_folded_unless_it_tells_the_story(tmp_path: Path) -> None:
    """Training and evaluation stand open, other steps are a line; a link leads inside and so unfolds them."""
    text = write_report(good_run(tmp_path), tmp_path / "out.html").read_text()
    assert re.findall(r'<details class="task"( open)?><summary><h3>([a-z-]+)', text) == [
        ("", "ingest-dataset"),
        (" open", "train-model"),
        (" open", "evaluate-model"),
    ]
    assert '</summary><div id="task-ingest-dataset">' in text


def test_steps_come_in_the_order_of_the_pipeline(tmp_path: Path) -> None:
    """A step that needs nothing stands where it is first used, however the record lists it."""
    names = ("fetch-model", "ingest-dataset", "train-model", "compare-models")
    needs = {"train-model": ["ingest-dataset"], "compare-models": ["fetch-model", "train-model"]}
    folder = record(tmp_path, [task(name, *needs.get(name, [])) for name in names])
    text = write_report(folder, tmp_path / "out.html").read_text()
    assert re.findall(r"<h3>([a-z-]+)</h3>", text) == ["ingest-dataset", "fetch-model", "train-model", "compare-models"]


def test_lineage_has_digests_whole_and_metadata_in_order(tmp_path: Path) -> None:
    """What KFP shuffles is sorted; empty values are left out; the digest can be copied; arguments are YAML."""
    metadata = {"zeta": 1.0, "revision": "", "licence": "CC0", "rows": 12000.0, "digest": DIGEST}
    data = {"uri": "/gone", "type": "system.Dataset", "metadata": metadata}
    folder = record(tmp_path, [task("a", outputs={"dataset": data})], arguments={"q": {"sql": "SELECT 1\nFROM x\n"}})
    text = write_report(folder, tmp_path / "out.html").read_text()
    assert f'rows 12,000 · licence CC0 · zeta 1<br><code class="digest">{DIGEST}</code>' in text
    assert "sql: |\n  SELECT 1\n  FROM x" in text


def test_the_links_and_ids_of_merged_pages_hold(tmp_path: Path) -> None:
    """Ids are unique though both pages hold the same figure, and every reference has its target."""
    text = write_report(good_run(tmp_path), tmp_path / "out.html").read_text()
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', text)) <= set(ids)


def test_the_same_run_gives_the_same_report(tmp_path: Path) -> None:
    """Nothing in the page depends on when or where it is written."""
    folder = good_run(tmp_path)
    one, two = (write_report(folder, tmp_path / name).read_bytes() for name in ("1.html", "2.html"))
    assert one == two


def test_a_failed_run_says_first_what_failed(tmp_path: Path) -> None:
    """The failing step and its message stand at the top; what was skipped is in the graph only."""
    tasks = [
        task("train-model", state="failed", error="DataError: one class <only>\nmore"),
        task("evaluate-model", "train-model", state="skipped", seconds=0),
    ]
    folder = record(tmp_path, tasks, state="failed", endpoint=None)
    text = write_report(folder, tmp_path / "out.html").read_text()
    assert text.index("DataError: one class &lt;only&gt;") < text.index("<main>")
    assert 'id="task-evaluate-model"' not in text
    assert "evaluate-model" in text


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_a_run_that_did_not_end_can_be_reported(tmp_path: Path, state: str) -> None:
    """No end, no artifacts yet, tasks that wait: the report is written all the same."""
    tasks = [task("a", state="running"), task("b", "a", state="waiting")]
    folder = record(tmp_path, tasks, state=state, finished=None, endpoint=None)
    assert state in write_report(folder, tmp_path / "out.html").read_text()


def test_artifacts_that_are_gone_or_broken_are_named(tmp_path: Path) -> None:
    """A page that was deleted, a verdict that is not one, a verdict's hostile text: named, escaped, no crash."""
    (tmp_path / "bad.json").write_text("{")
    outputs = {
        "report": {"uri": str(tmp_path / "gone.html"), "type": "system.HTML", "metadata": {}},
        "verdict": {"uri": str(tmp_path / "bad.json"), "type": "system.Artifact", "metadata": {}},
    }
    folder = record(tmp_path, [task("a", outputs=outputs), task("b", outputs={"verdict": verdict(tmp_path)})])
    text = write_report(folder, tmp_path / "out.html").read_text()
    assert "gone.html cannot be read any more" in text
    assert "is not a verdict" in text
    assert "it &lt;b&gt;knows&lt;/b&gt; enough" in text


@pytest.mark.parametrize(
    "foreign",
    ["<html><body><script>alert(1)</script></body></html>", "<main><p onclick='x()'>a</p></main>"],
)
def test_foreign_pages_are_locked_in(tmp_path: Path, foreign: str) -> None:
    """A page of another make, or with active content, goes into a sandboxed frame; the policy forbids scripts."""
    (tmp_path / "foreign.html").write_text(foreign)
    outputs = {"report": {"uri": str(tmp_path / "foreign.html"), "type": "system.HTML", "metadata": {}}}
    text = write_report(record(tmp_path, [task("a", outputs=outputs)]), tmp_path / "out.html").read_text()
    assert "<iframe sandbox" in text
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert "<script" not in text
    assert "<p onclick" not in text


def test_a_dict_parameter_is_no_artifact(tmp_path: Path) -> None:
    """Only what has a uri and a KFP type is an artifact; a dict with a uri of its own is a value."""
    folder = record(tmp_path, [task("a", outputs={"registered": {"uri": "x", "version": "2"}, "version": "2"})])
    assert "version" in write_report(folder, tmp_path / "out.html").read_text()


def test_the_latest_run_is_the_one_that_started_last(tmp_path: Path) -> None:
    """Start times decide, not names; a run whose record is broken comes last."""
    record(tmp_path, [], "z-old", started="2026-01-01T00:00:00+00:00")
    newest = record(tmp_path, [], "a-new", started="2026-02-01T00:00:00+00:00")
    broken = record(tmp_path, [], "zz")
    (broken / "run.json").write_text("{")
    assert latest_run(tmp_path, "flights") == newest
    assert latest_run(tmp_path) == newest


def test_a_run_is_found_by_what_people_call_it(tmp_path: Path) -> None:
    """By pipeline, id, pipeline/id or folder; a wrong name gets the nearest right one."""
    folder = good_run(tmp_path)
    for name in ("", "flights", "r1", "flights/r1", str(folder)):
        assert find_run(tmp_path, name) == folder
    with pytest.raises(StateError, match="did you mean 'flights'"):
        find_run(tmp_path, "flight")


def test_no_run_and_a_broken_record_are_clear_errors(tmp_path: Path) -> None:
    """The error says what to do next."""
    with pytest.raises(StateError, match="fairlead run flights"):
        latest_run(tmp_path, "flights")
    with pytest.raises(StateError, match="is no run"):
        write_report(tmp_path, tmp_path / "out.html")
    folder = record(tmp_path, [])
    (folder / "run.json").write_text('{"pipeline": 1}')
    with pytest.raises(StateError, match="not the record of a run"):
        write_report(folder, tmp_path / "out.html")

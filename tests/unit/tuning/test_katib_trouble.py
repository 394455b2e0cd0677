"""Searches by Katib in trouble: pods that never start, Experiments that hang, and runs that are ended or killed."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from katib_controller import KatibController
from katib_place import GRID, MOOD, RATE, Place
from unit.tuning.toy_recipe import NAME

from fairlead.errors import DataError, PlatformError
from fairlead.objects import Objects
from fairlead.platform.kubeflow import kinds
from fairlead.tuning import experiment
from fairlead.tuning.tune_model.in_cluster import ClusterSearch

pytest_plugins = ("minio_fixtures", "katib_fixtures")


def test_an_image_that_is_missing_is_named(
    place: Place, katib: KatibController, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pods that cannot start fail at the Job's deadline, and what the cluster says of them is the reason."""
    monkeypatch.setattr(experiment, "OVERHEAD_SECONDS", 3)
    with pytest.raises(DataError, match=r"(?s)DeadlineExceeded.*Failed to pull image \"registry.example/missing:1\""):
        place.tune(trial_seconds=1, maxTrialCount=1, parallelTrialCount=1, pod={"image": "registry.example/missing:1"})


def test_a_wrong_container_fails_at_the_deadline(
    place: Place, katib: KatibController, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pod is ever made: only an event of the Job says why, and it is in the error."""
    monkeypatch.setattr(experiment, "OVERHEAD_SECONDS", 3)
    made = ClusterSearch.manifest

    def misnamed(search: ClusterSearch) -> dict[str, Any]:
        manifest = made(search)
        manifest["spec"]["trialTemplate"]["primaryContainerName"] = "main"
        return manifest

    monkeypatch.setattr(ClusterSearch, "manifest", misnamed)
    with pytest.raises(DataError, match="Unable to find primary container main"):
        place.tune(trial_seconds=1, maxTrialCount=1, parallelTrialCount=1)


def test_an_experiment_that_hangs_is_given_up(
    place: Place, katib: KatibController, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that makes no JSON keeps it Created for ever; the event is read, and it is deleted."""
    made = ClusterSearch.manifest

    def broken(search: ClusterSearch) -> dict[str, Any]:
        manifest = made(search)
        manifest["spec"]["parameters"] = [{**MOOD, "feasibleSpace": {"list": ['a "quoted" value']}}]
        return manifest

    monkeypatch.setattr(ClusterSearch, "manifest", broken)
    with pytest.raises(PlatformError, match=r"(?s)has not moved .*failed to convert string to unstructured"):
        place.tune(parameters=[MOOD], pod={"wait_seconds": 2})
    assert not place.experiments()


def test_a_failed_suggestion_says_why(place: Place, katib: KatibController, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Experiment says only that it failed; the Suggestion's condition has the text."""
    made = ClusterSearch.manifest

    def endless(search: ClusterSearch) -> dict[str, Any]:
        manifest = made(search)
        manifest["spec"]["algorithm"] = {"algorithmName": "grid"}
        return manifest

    monkeypatch.setattr(ClusterSearch, "manifest", endless)
    with pytest.raises(PlatformError, match="Param log10_learning_rate step is nil"):
        place.tune(parameters=[RATE])


@pytest.mark.slow
def test_time_that_is_up_ends_the_search(place: Place, katib: KatibController) -> None:
    """What has ended by then counts, what runs is cut off, and the Experiment goes."""
    tuned = place.tune(
        parameters=[{**MOOD, "feasibleSpace": {"list": ["good", "slow"]}}], algorithm={"algorithmName": "grid"},
        maxTrialCount=2, parallelTrialCount=2, maximum_seconds=30,
        train={"recipe": NAME, "epochs": 3, "options": {"pause": 2.0}},
    )  # fmt: skip
    assert [trial.values["mood"] for trial in tuned.trials] == ["good"]
    assert not place.experiments()


def wait_until(found: Callable[[], Any], seconds: float = 20) -> None:
    """Waits for something to be so."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def interrupt_when(place: Place, found: Any) -> threading.Thread:
    """Sends this process SIGTERM as soon as something is found, as a cluster does to a pod that it ends."""

    def wait() -> None:
        while not found():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("keep", [False, True])
def test_an_interrupted_search_leaves_nothing_unless_kept(
    place: Place, katib: KatibController, keep: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGTERM deletes the Experiment with all pods; kept, it goes on, and the next run follows it to its end."""
    caplog.set_level(logging.INFO)
    changes: dict[str, Any] = {
        **GRID, "train": {"recipe": NAME, "epochs": 3, "options": {"pause": 1.0}}, "pod": {"keep": keep},
    }  # fmt: skip
    thread = interrupt_when(place, lambda: place.cluster.list(kinds.POD))
    with pytest.raises(KeyboardInterrupt):
        place.tune(**changes)
    thread.join()
    assert len(place.experiments()) == int(keep)
    if not keep:
        wait_until(lambda: not place.cluster.list(kinds.POD))
        return
    first = place.experiments()[0]["metadata"]["uid"]
    tuned = place.tune(**changes)
    assert len(tuned.trials) == 3
    assert place.experiments()[0]["metadata"]["uid"] == first
    assert "is there already; following it" in caplog.text


def test_a_killed_run_is_followed_up(place: Place, katib: KatibController, tmp_path: Path) -> None:
    """After SIGKILL the Experiment goes on by itself; the next run finds it by its name, and takes its trials."""
    program = (
        "from pathlib import Path\nfrom katib_place import GRID, Place\n"
        f"place = Place(None, Path({str(place.data)!r}), Path({str(tmp_path)!r}), '')\nplace.tune(**GRID)\n"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    run = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path})
    while not place.cluster.list(kinds.TRIAL):
        assert run.poll() is None
        time.sleep(0.1)
    run.kill()
    run.wait()
    names = {trial["metadata"]["name"] for trial in place.cluster.list(kinds.TRIAL)}
    tuned = place.tune(**GRID)
    assert len(tuned.trials) == 3
    notes = {
        one.uri.split("/")[-2] for one in Objects.connect().list(f"{place.store}/tuning") if "trial.json" in one.uri
    }
    assert names <= notes
    assert len(notes) == 3


@pytest.mark.slow
def test_a_server_that_is_upgraded_is_waited_for(place: Place, katib: KatibController) -> None:
    """Some seconds without an API server end no search."""

    def outage() -> None:
        while not place.cluster.list(kinds.TRIAL):
            time.sleep(0.1)
        place.kubernetes.down = True
        time.sleep(8)
        place.kubernetes.down = False

    thread = threading.Thread(target=outage, daemon=True)
    thread.start()
    assert len(place.tune(**GRID).trials) == 3
    thread.join()
    katib.errors.clear()

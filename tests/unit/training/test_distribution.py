"""Several processes train what one trains: ddp, zero2, fsdp; snapshots go from any number to any other."""

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import psutil
import pytest
from unit.training.late_rows import MODEL, TRAIN, late_table, write_table
from unit.training.toy_learnable import HEAD_THEN_ALL, Toy, ignore, read_fitted, same_bits, toy_spec, write_fitted

from fairlead.errors import ConfigurationError, DataError, PlatformError
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.engine.launch import train_together
from fairlead.training.engine.lightning import fit
from fairlead.training.job import Job
from fairlead.training.recipes.protocol import Epoch, Fitted
from fairlead.training.spec import ModelSpec, TrainSpec

ROUNDING = 2e-6  # of weights of about 1; float32 sums in another order
slow = pytest.mark.slow


def ranks(count: int, work: Callable[[int], None]) -> list[int]:
    """Runs something in forked processes with the environment that torchrun gives; they have all imports already.

    Returns:
        Their exit statuses.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            _be(rank, count, port, work)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _be(rank: int, count: int, port: int, work: Callable[[int], None]) -> None:
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_RANK": 0}
    rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    os.environ.update({name: str(value) for name, value in {**variables, **rendezvous}.items()})
    status = 1
    try:
        work(rank)
        status = 0
    finally:
        if status:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)


def toy(phases: Any = (), chance: float = 0.2) -> Toy:
    """A toy whose result does not depend on how a batch is cut, but for its chance."""
    return Toy(phases=phases, chance=chance).without_batch_norm()


def together(out: Path, count: int, make: Callable[[], Toy], spec: TrainSpec, work: Path | None = None) -> Fitted:
    """Trains with several processes."""

    def one(rank: int) -> None:
        fitted = fit(make(), spec, ignore, work)
        if rank == 0:
            write_fitted(fitted, out)
        else:
            assert fitted.weights == {}

    assert ranks(count, one) == [0] * count
    return read_fitted(out)


def agree(one: Fitted, other: Fitted, tolerance: float = ROUNDING) -> None:
    """Asserts that two trainings agree but for rounding."""
    for name, value in one.weights.items():
        assert np.allclose(value, other.weights[name], rtol=0, atol=tolerance), name
    for ours, theirs in zip(one.epochs, other.epochs, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, abs=tolerance)


@pytest.mark.parametrize("strategy", ["ddp", "zero2", "fsdp"])
@pytest.mark.parametrize("phases", [(), HEAD_THEN_ALL], ids=["one phase", "two phases"])
def test_two_processes_train_what_one_trains_with_two_parts(strategy: str, phases: Any, tmp_path: Path) -> None:
    """Dropout and noise included: chance belongs to a part of a step, not to a process."""
    two = together(tmp_path / "two", 2, lambda: toy(phases), toy_spec(strategy=strategy))
    agree(fit(toy(phases), toy_spec(accumulate=2), ignore), two)


@pytest.mark.parametrize("count", [2, 3])
def test_without_chance_the_number_of_processes_does_not_matter(count: int, tmp_path: Path) -> None:
    """The same effective batch gives the same weights within the stated tolerance, uneven shares included."""
    spec = toy_spec(strategy="ddp", batch_size=50)
    many = together(tmp_path / "many", count, lambda: toy(chance=0.0), spec)
    agree(fit(toy(chance=0.0), spec, ignore), many, 1e-5)


def test_bf16_and_parts_in_two_processes(tmp_path: Path) -> None:
    """Lower precision and accumulation go with distribution."""
    spec = toy_spec(precision="bf16", accumulate=2)
    two = together(tmp_path / "two", 2, toy, spec)
    agree(fit(toy(), toy_spec(precision="bf16", accumulate=4), ignore), two, 1e-3)


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=slow)])
def test_processes_that_are_killed_go_on_to_the_same_bits(strategy: str, tmp_path: Path) -> None:
    """Kill -9 of all processes at different moments; the next ones agree in every bit with undisturbed ones."""
    spec, work = toy_spec(strategy=strategy, save_every_seconds=0), tmp_path / "work"
    whole = together(tmp_path / "whole", 2, toy, spec)

    def killed(rank: int) -> None:
        def observe(done: float, _epoch: Epoch | None) -> None:
            if done > 2.25 + 0.1 * rank:
                os.kill(os.getpid(), signal.SIGKILL)

        fit(toy(), spec, observe, work)

    assert -signal.SIGKILL in ranks(2, killed)
    assert (work / "snapshots").is_dir()
    assert same_bits(together(tmp_path / "again", 2, toy, spec, work), whole)


def test_another_number_of_processes_may_go_on(tmp_path: Path) -> None:
    """Snapshots hold whole tensors: sharded over two processes, finished by one."""
    spec, work = toy_spec(strategy="fsdp", save_every_seconds=0, batch_size=50), tmp_path / "work"

    def stopped(_rank: int) -> None:
        def observe(done: float, _epoch: Epoch | None) -> None:
            if done > 1.7:
                os._exit(0)

        fit(toy(chance=0.0), spec, observe, work)

    ranks(2, stopped)
    agree(fit(toy(chance=0.0), spec, ignore, work), fit(toy(chance=0.0), spec, ignore), 1e-5)


def test_batch_norm_trains_in_several_processes(tmp_path: Path) -> None:
    """Each part has statistics of its own, so weights differ with their number; the running ones are the first's."""
    two = together(tmp_path / "two", 2, Toy, toy_spec())
    assert two.best.validation["validation_log_loss"] < 0.55


def test_a_recipe_that_is_not_on_torch_is_refused(data: Path) -> None:
    """Before anything is started."""
    with pytest.raises(ConfigurationError, match="trains in one process"):
        job(data, recipe="gradient-boosting", options={}).recipe()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the datasets `train` and `validation`."""
    folder = tmp_path_factory.mktemp("data")
    write_table(folder / "train", late_table(1000, seed=1), name="train")
    write_table(folder / "validation", late_table(400, seed=2), name="validation")
    return folder


def job(data: Path, **changes: Any) -> Job:
    """A job of two processes."""
    spec = TrainSpec.parse({**TRAIN, "processes": 2, "threads": 1, **changes}, "train")
    return Job(data / "train", data / "validation", ModelSpec.parse(MODEL, "model"), spec, "late")


@slow
def test_torchrun_leaves_a_checkpoint(data: Path, tmp_path: Path) -> None:
    """Real processes of torchrun's; a recipe's weights agree with those of one process with two parts."""
    from fairlead.training.job import do

    two = train_together(job(data), tmp_path)
    one = do(job(data, processes=1, accumulate=2), ignore, tmp_path / "one")
    agree(one.fitted, two.fitted)
    assert two.lineage["computed"]["processes"] == 2


@slow
def test_an_error_of_a_process_is_told_as_it_was_raised(data: Path, tmp_path: Path) -> None:
    """Class and text come from the process that failed."""
    with pytest.raises(DataError, match=r"lower train\.learning_rate"):
        train_together(job(data, learning_rate=1e38), tmp_path)


@slow
def test_a_process_that_dies_is_named_and_training_goes_on(data: Path, tmp_path: Path) -> None:
    """Kill -9 of one process ends all with a clear error; run again, the bits are those of an undisturbed training."""
    spec = {"epochs": 100, "patience": 100, "save_every_seconds": 0.3, "strategy": "ddp"}
    caught: list[Exception] = []

    def run() -> None:
        try:
            train_together(job(data, **spec), tmp_path / "work")
        except PlatformError as error:
            caught.append(error)

    (tmp_path / "work").mkdir()
    thread = Thread(target=run)
    thread.start()
    _kill_one_process_once_snapshots_are_there(tmp_path / "work")
    thread.join(120)
    assert "was killed (SIGKILL" in str(caught[0])
    assert "Run again to go on" in str(caught[0])
    (tmp_path / "whole").mkdir()
    again = train_together(job(data, **spec), tmp_path / "work")
    assert same_bits(again.fitted, train_together(job(data, **spec), tmp_path / "whole").fitted)


def _kill_one_process_once_snapshots_are_there(work: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if list((work / "snapshots").glob("[0-9]*")):
            agents = psutil.Process().children()
            workers = [
                child for agent in agents for child in agent.children() if "fairlead.training.engine" in child.cmdline()
            ]
            if len(workers) == 2:
                workers[1].kill()
                return
        time.sleep(0.02)
    raise AssertionError("no snapshot was written")


@slow
def test_nothing_outlives_a_killed_task(data: Path, tmp_path: Path) -> None:
    """Kill -9 of the process that started torchrun ends torchrun and its processes too."""
    (tmp_path / "work").mkdir()
    child = os.fork()
    if child == 0:
        train_together(job(data, epochs=2000, patience=2000, save_every_seconds=0.05), tmp_path / "work")
        os._exit(0)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "work" / "snapshots").glob("[0-9]*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    family = psutil.Process(child).children(recursive=True)
    assert len(family) == 3
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []


def test_a_job_survives_being_written(data: Path, tmp_path: Path) -> None:
    """What torchrun's processes read is what was meant; a file that is no job is refused."""
    from fairlead.errors import SourceError

    job(data).write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == job(data)
    assert Job.read(tmp_path / "job.json").digest() == job(data).digest()
    (tmp_path / "job.json").write_text("[]")
    with pytest.raises(SourceError, match="holds no training job"):
        Job.read(tmp_path / "job.json")


def test_the_entry_point_works_without_torchrun(data: Path, tmp_path: Path) -> None:
    """One process, started by hand, leaves the checkpoint as well: a TrainJob of one node."""
    from fairlead.training.engine.__main__ import main

    job(data, processes=1, epochs=1).write(tmp_path / "job.json")
    assert ranks(1, lambda _rank: _exit_with(main(tmp_path / "job.json"))) == [0]
    assert Checkpoint.read(tmp_path / "result").fitted.best.epoch == 1
    job(data, processes=1, learning_rate=1e38).write(tmp_path / "job.json")
    assert ranks(1, lambda _rank: _exit_with(main(tmp_path / "job.json"))) == [1]
    assert "lower train.learning_rate" in (tmp_path / "error-0.json").read_text()


def _exit_with(status: int) -> None:
    sys.stderr.flush()
    os._exit(status)

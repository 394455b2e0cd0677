"""The engine: two ways to train with the same bits, precision, accumulation, clipping, phases, early stopping."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from unit.training.toy_learnable import HEAD_THEN_ALL, Toy, ignore, same_bits, toy_spec

from fairlead.errors import ConfigurationError, DataError
from fairlead.training.engine import arithmetic
from fairlead.training.engine.learnable import Phase
from fairlead.training.engine.lightning import fit
from fairlead.training.engine.optimizer import FunctionalAdamW
from fairlead.training.engine.plain import fit_plain
from fairlead.training.engine.trace import read
from fairlead.training.recipes.protocol import Epoch, Fitted

WAYS = {"plain": fit_plain, "lightning": fit}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulate": 3},
        {"precision": "bf16"},
        {"schedule": "linear", "warm_up": 0, "weight_decay": 0.1, "clip_norm": 0.01},
        {"schedule": "constant", "clip_norm": None, "deterministic": False},
    ],
    ids=lambda changes: "-".join(changes) or "default",
)
@pytest.mark.parametrize("phases", [(), HEAD_THEN_ALL], ids=["one phase", "two phases"])
def test_the_plain_loop_and_lightning_agree_in_every_bit(changes: dict[str, Any], phases: Any) -> None:
    """A search's trials train what the final training trains, whatever is asked of it."""
    spec = toy_spec(**changes)
    assert same_bits(fit_plain(Toy(phases=phases), spec, ignore), fit(Toy(phases=phases), spec, ignore))


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_gives_the_same_bits(way: str) -> None:
    """Two trainings agree, whatever happened to torch's generator before; another seed gives another model."""
    first = WAYS[way](Toy(), toy_spec(), ignore)
    toy = Toy()
    torch.rand(17)
    assert same_bits(first, WAYS[way](toy, toy_spec(), ignore))
    assert not same_bits(first, WAYS[way](Toy(), toy_spec(seed=8), ignore))


@pytest.mark.parametrize("way", WAYS)
def test_torch_is_left_as_it_was(way: str) -> None:
    """Threads, determinism and the generator's state are put back."""
    torch.manual_seed(3)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    toy = Toy()
    torch.manual_seed(3)
    WAYS[way](toy, toy_spec(epochs=1), ignore)
    after = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


def test_parts_add_up_to_the_whole_batch() -> None:
    """Without chance and batch normalisation, cutting a step into parts changes nothing but rounding."""
    toys = [Toy(chance=0.0).without_batch_norm() for _ in range(2)]
    whole, parts = (fit_plain(toy, toy_spec(accumulate=n), ignore) for toy, n in zip(toys, (1, 5), strict=True))
    for name, value in whole.weights.items():
        assert np.allclose(value, parts.weights[name], atol=1e-5), name


def test_clipping_bounds_the_step() -> None:
    """A tiny norm, with AdamW's memory of larger ones absent, changes the result."""
    assert not same_bits(fit_plain(Toy(), toy_spec(clip_norm=1e-4), ignore), fit_plain(Toy(), toy_spec(), ignore))


def test_only_a_phase_s_parameters_move() -> None:
    """In the head's phase the body stays as it was; in the next one all move, from the head's best weights."""
    body = Toy(phases=HEAD_THEN_ALL).module[0].weight.detach().clone()  # type: ignore[index]
    head = fit_plain(Toy(phases=HEAD_THEN_ALL[:1]), toy_spec(), ignore)
    assert torch.equal(torch.from_numpy(head.weights["0.weight"]), body)
    both = fit_plain(Toy(phases=HEAD_THEN_ALL), toy_spec(), ignore)
    assert not torch.equal(torch.from_numpy(both.weights["0.weight"]), body)
    assert [epoch.epoch for epoch in both.epochs] == [1, 2, 3, 4, 5]
    assert both.epochs[:2] == head.epochs


def test_a_phase_that_trains_nothing_is_refused() -> None:
    """Nothing would happen, silently."""
    with pytest.raises(ConfigurationError, match="phase 'head' trains none"):
        fit_plain(Toy(phases=[Phase("head", 1, trainable=lambda name: name == "haed")]), toy_spec(), ignore)


@pytest.mark.parametrize("way", WAYS)
def test_patience_ends_training_and_the_best_epoch_is_kept(way: str) -> None:
    """Epochs that bring nothing better end it; the weights are those of the best one."""
    toy = Toy(size=64, chance=0.0)
    fitted = WAYS[way](toy, toy_spec(epochs=200, learning_rate=0.2, weight_decay=0, patience=3), ignore)
    losses = [epoch.validation["validation_log_loss"] for epoch in fitted.epochs]
    assert len(losses) == fitted.best.epoch + 3 < 200
    assert min(losses) == fitted.best.validation["validation_log_loss"]
    toy.module.load_state_dict({name: torch.from_numpy(value) for name, value in fitted.weights.items()})
    with torch.no_grad():
        assert toy.score(toy.module.eval())["validation_log_loss"] == pytest.approx(min(losses), abs=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_an_observer_is_told_of_each_step_and_may_stop(way: str) -> None:
    """It hears fractions of epochs and each epoch's figures; what it raises ends training."""
    heard: list[tuple[float, Epoch | None]] = []

    def observe(done: float, epoch: Epoch | None) -> None:
        heard.append((done, epoch))
        if done > 1.5:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        WAYS[way](Toy(), toy_spec(), observe)
    assert [done for done, _ in heard][:2] == [0.1, 0.2]
    assert [epoch.epoch for _, epoch in heard if epoch is not None] == [1]


@pytest.mark.parametrize("way", WAYS)
def test_a_loss_that_is_not_finite_is_an_error(way: str) -> None:
    """The text says what to lower."""
    toy = Toy()
    toy.inputs[5, 0] = float("nan")
    with pytest.raises(DataError, match=r"lower train\.learning_rate"):
        WAYS[way](toy, toy_spec(), ignore)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"precision": "fp16"}, "fp16 needs a GPU"), ({"device": "gpu"}, "finds no CUDA device")],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_what_a_cpu_cannot_do_is_refused(changes: dict[str, Any], words: str) -> None:
    """fp16 and GPUs are refused where there is none, with what to set instead."""
    with pytest.raises(ConfigurationError, match=words):
        fit(Toy(), toy_spec(**changes), ignore)


def test_fp16_trains_with_a_scaler_and_goes_on_with_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way that fp16 takes on a GPU, here on a CPU, where it is refused only because it makes no sense."""
    monkeypatch.setattr(arithmetic, "check_precision", lambda _precision, _device: None)
    spec = toy_spec(precision="fp16", save_every_seconds=0)
    whole = fit(Toy(), spec, ignore)
    assert whole.best.validation["validation_log_loss"] < 0.5

    def stop(done: float, _epoch: Epoch | None) -> None:
        if done > 1.55:
            raise KeyError

    with pytest.raises(KeyError):
        fit(Toy(), spec, stop, tmp_path)
    assert same_bits(fit(Toy(), spec, ignore, tmp_path), whole)


def test_bf16_is_another_arithmetic() -> None:
    """Lower precision gives other bits, and learns as well."""
    lower, full = (fit_plain(Toy(), toy_spec(precision=name), ignore) for name in ("bf16", "fp32"))
    assert not same_bits(lower, full)
    assert lower.best.validation["validation_log_loss"] == pytest.approx(
        full.best.validation["validation_log_loss"], abs=0.02
    )


@pytest.mark.parametrize("way", WAYS)
def test_every_step_is_traced(way: str, tmp_path: Path) -> None:
    """The work folder says each step's loss and rate, and each epoch's figures."""
    fitted = WAYS[way](Toy(), toy_spec(), ignore, tmp_path)
    lines = read(tmp_path / "trace.jsonl")
    steps, epochs = [line for line in lines if "epoch" not in line], [line for line in lines if "epoch" in line]
    assert [line["step"] for line in steps] == list(range(1, 41))
    assert max(line["learning_rate"] for line in steps) == pytest.approx(0.05)
    assert [line["train_loss"] for line in epochs] == [epoch.train_loss for epoch in fitted.epochs]
    assert np.mean([line["train_loss_step"] for line in steps[:10]]) == pytest.approx(epochs[0]["train_loss"])


def test_the_function_of_adamw_gives_the_bits_of_its_class() -> None:
    """Also where a parameter has no gradient, which both leave alone."""
    torch.manual_seed(0)
    sides = [[torch.nn.Parameter(torch.arange(4.0)), torch.nn.Parameter(torch.ones(3))] for _ in range(2)]
    ours, theirs = FunctionalAdamW(sides[0], 0.1), torch.optim.AdamW(sides[1], lr=1.0, weight_decay=0.1, fused=True)
    for rate in (0.1, 0.05, 0.2):
        for side in sides:
            (side[0] * torch.tensor([1.0, -2.0, 0.5, 3.0])).square().sum().backward()  # type: ignore[no-untyped-call]
        ours.step(rate)
        theirs.param_groups[0]["lr"] = rate
        theirs.step()
        theirs.zero_grad()
    assert all(torch.equal(mine, yours) for mine, yours in zip(*sides, strict=True))


def test_the_plain_loop_imports_no_lightning() -> None:
    """A search does without Lightning and torch's compiler, whose imports would cost more than its trials."""
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); "
        "from unit.training.toy_learnable import Toy, toy_spec, ignore; "
        "from fairlead.training.engine.plain import fit_plain; fit_plain(Toy(), toy_spec(epochs=1), ignore); "
        "found = {'pytorch_lightning', 'torch._dynamo', 'torchmetrics'} & sys.modules.keys(); assert not found, found"
    )
    tests = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", script, tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_facts_say_how_it_was_computed() -> None:
    """What beside the spec decides the bits goes into the lineage."""
    train: Callable[..., Fitted] = fit
    facts = train(Toy(), toy_spec(epochs=1, accumulate=2), ignore).facts
    assert {
        "accumulate": 2,
        "processes": 1,
        "device": "cpu",
        "strategy": "single",
        "threads": 1,
    }.items() <= facts.items()

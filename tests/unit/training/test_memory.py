"""The micro-batch search: counted memory against measured memory, and the fewest parts below a ceiling."""

import math

import pytest
import torch
from torch import nn
from unit.training.toy_learnable import Toy, ignore, same_bits, toy_spec

from fairlead.errors import ConfigurationError
from fairlead.training.engine.lightning import fit
from fairlead.training.engine.memory import GIB, Need, fewest_parts, measure
from fairlead.training.engine.plain import fit_plain

CPU = torch.device("cpu")
MIB = 1 << 20


def test_what_is_counted_is_what_a_pass_keeps() -> None:
    """A stack of linear layers keeps each layer's input: its count is known by hand."""
    width, toy = 512, Toy(width=512)
    toy.module = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
    need = measure(toy, "fp32", CPU)
    parameters = sum(parameter.numel() for parameter in toy.module.parameters())
    assert need.fixed == pytest.approx(4 * 4 * parameters, rel=0.01)
    kept = 2 * width * 4  # the two outputs of ReLU; each is the next layer's input
    assert kept < need.per_example < 2.2 * kept


@pytest.mark.parametrize("rows", [2_000, 8_000])
def test_counted_memory_is_near_the_measured_peak(rows: int) -> None:
    """The allocator's own figures of a whole step, by torch's profiler, agree within a fifth."""
    from torch.profiler import ProfilerActivity, profile

    toy = Toy(size=rows, width=256, chance=0.1)
    need = measure(toy, "fp32", CPU)
    batch = toy.batch(torch.arange(rows), torch.Generator())
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        toy.loss(toy.module, batch).backward()  # type: ignore[no-untyped-call]
    held = peak = 0
    for event in sorted(profiled.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    activations = need.per_example * rows
    assert activations == pytest.approx(peak, rel=0.25)


def test_measuring_leaves_the_module_as_it_was() -> None:
    """Running statistics of batch normalisation, weights and gradients."""
    toy, fresh = Toy(), Toy()
    measure(toy, "bf16", CPU)
    for (name, value), other in zip(toy.module.state_dict().items(), fresh.module.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    assert all(parameter.grad is None for parameter in toy.module.parameters())


@pytest.mark.parametrize(("ceiling_mib", "parts"), [(1000, 1), (100 + 64, 1), (100 + 63, 2), (100 + 16, 4), (101, 64)])
def test_the_fewest_parts_that_fit_are_taken(ceiling_mib: float, parts: int) -> None:
    """100 MiB whatever the part, and 1 MiB for each of the step's 64 examples."""
    assert fewest_parts(Need(100 * MIB, MIB), 64, 1, ceiling_mib * MIB / GIB) == parts


def test_parts_that_are_asked_for_are_the_least() -> None:
    """A ceiling only ever adds parts."""
    assert fewest_parts(Need(0, MIB), 64, 5, 1000.0) == 5


def test_a_ceiling_below_one_example_is_refused() -> None:
    """With what one example takes, and what to do."""
    with pytest.raises(ConfigurationError, match=r"one example at a time takes 0\.0986 GiB.*strategy fsdp"):
        fewest_parts(Need(100 * MIB, MIB), 64, 1, 0.05)


def test_training_under_a_ceiling_takes_the_same_parts_each_time() -> None:
    """What is found decides the bits, so it is found by counting: it is in the facts, and both ways agree."""
    need, spec = measure(Toy(width=128), "fp32", CPU), toy_spec(batch_size=100)
    ceiling = need.of(30) / GIB
    found = [way(Toy(width=128), spec.model_copy(update={"memory_gib": ceiling}), ignore) for way in (fit, fit_plain)]
    assert [fitted.facts["accumulate"] for fitted in found] == [math.ceil(100 / 30)] * 2
    assert same_bits(*found)
    assert same_bits(found[0], fit(Toy(width=128), spec.model_copy(update={"accumulate": 4}), ignore))

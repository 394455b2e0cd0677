"""The order of a training's examples, its seeds and its learning rates, for any sizes."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from fairlead.training.engine.order import Order, Part, derive_seed
from fairlead.training.engine.schedule import FINAL_RATE, SCHEDULES, rate_at
from fairlead.training.engine.snapshots import Clock

sizes = st.integers(1, 200)
counts = st.integers(1, 4)


def parts_of(order: Order, epoch: int, start: int = 0) -> list[Part]:
    """All parts that one process computes."""
    return list(order.parts(epoch, start))


@given(sizes, st.integers(1, 64), counts, counts, st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_an_epoch_holds_every_example_once(
    size: int, batch: int, accumulate: int, world: int, epoch: int, seed: int
) -> None:
    """Over all processes and parts, with the weight that its share of the step's mean demands."""
    seen: list[int] = []
    weight = 0.0
    for rank in range(world):
        order = Order(size, batch, seed, accumulate, rank, world)
        parts = parts_of(order, epoch)
        assert len(parts) == order.steps * accumulate
        assert [part.last for part in parts] == ([False] * (accumulate - 1) + [True]) * order.steps
        for part in parts:
            weight += part.scale
            if part.scale:
                seen.extend(part.indices.tolist())
    assert sorted(seen) == list(range(size))
    assert abs(weight - order.steps * accumulate * world) < 1e-6 * weight


@given(sizes, st.integers(1, 64), counts, counts)
def test_parts_do_not_know_which_process_computes_them(size: int, batch: int, accumulate: int, world: int) -> None:
    """N processes with K parts compute what one process with N x K parts does, chance included."""
    alone = parts_of(Order(size, batch, 7, accumulate * world), 1)
    for rank in range(world):
        mine = parts_of(Order(size, batch, 7, accumulate, rank, world), 1)
        for number, part in enumerate(mine):
            step, inside = divmod(number, accumulate)
            other = alone[step * accumulate * world + rank * accumulate + inside]
            assert torch.equal(part.indices, other.indices)
            assert (part.scale, part.data_seed, part.chance_seed) == (other.scale, other.data_seed, other.chance_seed)


@given(sizes, st.integers(1, 64), counts, st.data())
def test_an_epoch_can_be_gone_on_with_from_any_step(
    size: int, batch: int, accumulate: int, data: st.DataObject
) -> None:
    """The rest is what it would have been."""
    order = Order(size, batch, 3, accumulate)
    start = data.draw(st.integers(0, order.steps))
    whole, rest = parts_of(order, 2), parts_of(order, 2, start)
    assert len(rest) == len(whole) - start * accumulate
    for part, other in zip(rest, whole[start * accumulate :], strict=True):
        assert torch.equal(part.indices, other.indices)
        assert part.chance_seed == other.chance_seed


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5), st.integers(0, 4))
def test_seeds_of_near_numbers_differ(numbers: list[int], place: int) -> None:
    """One more in any place is another seed, in the range that torch takes."""
    other = list(numbers)
    other[place % len(other)] ^= 1
    assert derive_seed(*numbers) != derive_seed(*other)
    assert 0 <= derive_seed(*numbers) < 2**63


@given(st.integers(1, 5000), st.sampled_from(sorted(SCHEDULES)), st.floats(0, 0.99))
def test_rates_rise_in_the_warm_up_and_then_never(steps: int, schedule: str, warm_up: float) -> None:
    """They are above nothing, reach the highest, and do not rise again."""
    rates = [rate_at(step, steps, schedule, warm_up) for step in range(steps)]
    top = max(1, round(warm_up * steps)) - 1 if warm_up else 0
    assert rates[top] == 1
    assert all(0 < rate <= 1 for rate in rates)
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in pairwise(rates[top:]))
    if schedule == "constant":
        assert set(rates[top:]) == {1.0}
    else:
        assert rates[-1] >= FINAL_RATE or len(rates) == 1


@given(st.integers(0, 1000), st.integers(1, 20))
def test_the_clock_always_asks_again_later(steps: int, turns: int) -> None:
    """Never at a step that is over, so that no process waits for one that has gone on."""
    clock = Clock(1e-9, steps)
    for _ in range(turns):
        now = clock.ask_at
        due, clock.ask_at = clock.ask(now)
        assert due
        assert clock.ask_at > now

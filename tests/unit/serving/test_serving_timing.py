"""How a model is run is chosen by timing: with a clock that moves as the model is told to take."""

from collections.abc import Callable

import pytest

from fairlead_serving import timing
from fairlead_serving.timing import time_plan


class Clock:
    """A clock that only a model moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], Callable[[int], None]]:
    """Make a model that takes so many seconds, and so many more for each row."""
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)

    def make(once: float, each: float) -> Callable[[int], None]:
        def run(rows: int) -> None:
            clock.now += once + each * rows

        return run

    return make


@pytest.mark.parametrize(
    ("once", "each", "mode", "rows"),
    [
        (5e-6, 1e-6, "loop", 64),  # a small table
        (5e-6, 1e-4, "loop", 9),  # rows enough for a millisecond
        (0.0, 0.03, "thread", 1),  # a deep network: eight take eight times as long
        (0.002, 1e-4, "batch", 64),  # weights that are fetched once
        (0.002, 1e-3, "batch", 16),  # a doubling that gives less than a tenth more is not taken
    ],
)
def test_the_time_decides(
    model: Callable[[float, float], Callable[[int], None]], once: float, each: float, mode: str, rows: int
) -> None:
    """Short ones stay on the loop, those that gain from company are batched, the rest queues for threads."""
    plan = time_plan(model(once, each))
    assert plan.mode == mode
    assert abs(plan.rows - rows) <= (1 if mode == "loop" else 0), plan


def test_images_never_run_on_the_loop(model: Callable[[float, float], Callable[[int], None]]) -> None:
    """Decoding a picture takes longer than predicting it."""
    assert time_plan(model(5e-6, 1e-6), allow_loop=False).mode == "thread"

"""How a model is run, found out by timing it when it is loaded.

    loop     one prediction takes so little that handing it to a thread would cost more: it runs on the event loop
    thread   it takes long and gains nothing from company: predictions queue for threads, one for each core
    batch    eight rows together take much less than eight times one row (the weights do not fit the caches and are
             fetched once instead of eight times): what queues is predicted together

Nobody has to know a model's shape to set this right, and a setting that was right on another machine cannot be wrong on
this one.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

LOOP_SECONDS = 0.001  # longer would keep health checks and other clients waiting
SAVED_SECONDS = 0.0002  # what a query must save for the way through a thread and back
GAIN = 1.5
PAIR = 8
SIZES = (16, 32, 64)
MORE = 1.1
ROWS_ON_LOOP = 64
BUDGET_SECONDS = 0.25
FEWEST, MOST = 3, 40


@dataclass(frozen=True)
class Plan:
    """How a model is run.

    Attributes:
        mode: loop, thread or batch.
        rows: The most rows of one run that other queries share; in mode loop the most rows that run on the loop.
        single_seconds: The median time of one row.
        gain: Rows per second at eight rows beside one row.
    """

    mode: str
    rows: int
    single_seconds: float
    gain: float

    def __str__(self) -> str:
        return (
            f"{self.mode}, at most {self.rows} rows; one row takes {self.single_seconds * 1000:.3g} ms, eight together "
            f"are {self.gain:.2f} times as fast"
        )


def time_plan(run: Callable[[int], object], *, allow_loop: bool = True) -> Plan:
    """Times a model and chooses.

    Args:
        run: Predicts so many rows.
        allow_loop: Whether predictions may run on the event loop at all.

    Returns:
        The choice, with what was measured.
    """
    one, eight = _times(run, 1, PAIR)
    gain, saved = PAIR * one / eight, one - eight / PAIR
    if gain >= GAIN and saved >= SAVED_SECONDS:
        return Plan("batch", _largest(run, eight), one, gain)
    if one <= LOOP_SECONDS and allow_loop:
        slope = max((eight - one) / (PAIR - 1), 1e-9)
        rows = 1 + int((LOOP_SECONDS - one) / slope)
        return Plan("loop", max(1, min(ROWS_ON_LOOP, rows)), one, gain)
    return Plan("thread", 1, one, gain)


def _times(run: Callable[[int], object], *sizes: int) -> list[float]:
    """The median seconds of each size, measured in turns, so that what else the machine does strikes all alike."""
    for size in sizes:
        run(size)  # memory is allocated at the first run of a size
    found: list[list[float]] = [[] for _ in sizes]
    begun = time.perf_counter()
    while len(found[0]) < FEWEST or (time.perf_counter() - begun < BUDGET_SECONDS and len(found[0]) < MOST):
        for times, size in zip(found, sizes, strict=True):
            started = time.perf_counter()
            run(size)
            times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in found]


def _largest(run: Callable[[int], object], eight: float) -> int:
    """The largest size that is still worth it: each doubling must give a tenth more rows per second."""
    best, rate = PAIR, PAIR / eight
    for size in SIZES:
        (seconds,) = _times(run, size)
        if size / seconds < rate * MORE:
            break
        best, rate = size, size / seconds
    return best

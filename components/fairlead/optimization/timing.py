"""Times two packages against each other, fairly: turn by turn, medians."""

import statistics
import time
from collections.abc import Sequence

from fairlead.optimization.packaging import Tensors
from fairlead_serving.package import ModelPackage

REPEATS = 200
FEWEST_REPEATS = 5
WARM_UP = 20
SECONDS = 10.0  # of one comparison, about


def time_interleaved(packages: Sequence[ModelPackage], tensors: Tensors, repeats: int = REPEATS) -> list[float]:
    """Times one prediction of each package on one thread.

    The packages take turns, so that whatever else the machine does meanwhile slows all of them alike.

    Args:
        packages: The packages.
        tensors: The rows of one prediction, encoded.
        repeats: Turns that count, at most; some more come first to warm up. Of slow models fewer are taken.

    Returns:
        The median seconds of each package.
    """
    sessions = [package.load() for package in packages]
    taken: list[list[float]] = [[] for _ in packages]
    begun = time.perf_counter()
    for session in sessions:
        session.run(None, tensors)
    affordable = int(SECONDS / (time.perf_counter() - begun))
    repeats, warm_up = max(FEWEST_REPEATS, min(repeats, affordable)), min(WARM_UP, affordable // 10)
    for turn in range(warm_up + repeats):
        for position, session in enumerate(sessions):
            started = time.perf_counter()
            session.run(None, tensors)
            if turn >= warm_up:
                taken[position].append(time.perf_counter() - started)
    return [statistics.median(seconds) for seconds in taken]

"""Times two packages against each other, fairly: turn by turn, medians."""

import statistics
import time
from collections.abc import Sequence

from fairlead.optimization.packaging import Tensors
from fairlead_serving.package import ModelPackage

REPEATS = 200
WARM_UP = 20


def time_interleaved(packages: Sequence[ModelPackage], tensors: Tensors, repeats: int = REPEATS) -> list[float]:
    """Times one prediction of each package on one thread.

    The packages take turns, so that whatever else the machine does meanwhile slows all of them alike.

    Args:
        packages: The packages.
        tensors: The rows of one prediction, encoded.
        repeats: Turns that count; some more come first to warm up.

    Returns:
        The median seconds of each package.
    """
    sessions = [package.load() for package in packages]
    taken: list[list[float]] = [[] for _ in packages]
    for turn in range(WARM_UP + repeats):
        for position, session in enumerate(sessions):
            started = time.perf_counter()
            session.run(None, tensors)
            if turn >= WARM_UP:
                taken[position].append(time.perf_counter() - started)
    return [statistics.median(seconds) for seconds in taken]

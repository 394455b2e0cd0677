"""What the training engine (Lightning, seeds, schedule, snapshots on) costs over a bare torch loop.

python benchmarks/trainer_overhead.py [REPEATS]

Both train the same small transformer on the same batches with AdamW, clipping and a schedule, one thread, in turn in
one process. Processor time is measured, so that other work on the machine counts less. The ratio of the medians per
step is printed, with the smallest of each; the goal is 1.04 at most.
"""

import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch
from small_transformer import NextSymbol  # type: ignore[import-not-found]

from fairlead.training.engine.learnable import Learnable
from fairlead.training.engine.lightning import fit
from fairlead.training.engine.order import Order
from fairlead.training.engine.schedule import rate_at
from fairlead.training.recipes.protocol import Epoch
from fairlead.training.spec import TrainSpec

STEPS, BATCH, WARM_UP_STEPS = 50, 16, 5
GOAL = 1.04


def bare(learnable: Learnable) -> list[float]:
    """The processor times at which the steps of a bare loop ended."""
    module, moments = learnable.module.train(), []
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.001, fused=True)
    order, generator = Order(learnable.train_size, BATCH, 7).permutation(0), torch.Generator()
    for step in range(STEPS):
        batch = learnable.batch(order[step * BATCH : (step + 1) * BATCH], generator)
        optimizer.param_groups[0]["lr"] = 0.001 * rate_at(step, STEPS)
        optimizer.zero_grad()
        learnable.loss(module, batch).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        moments.append(time.process_time())
    return moments


def engine(learnable: Learnable) -> list[float]:
    """The processor times at which the steps of the engine ended."""
    moments: list[float] = []

    def observe(_done: float, epoch: Epoch | None) -> None:
        if epoch is None:
            moments.append(time.process_time())

    spec = TrainSpec(epochs=1, batch_size=BATCH, learning_rate=0.001, clip_norm=1.0, threads=1)
    with tempfile.TemporaryDirectory() as work:
        fit(learnable, spec, observe, Path(work))
    return moments


def main(repeats: int) -> int:
    """Prints the figures; the exit status says whether the goal is met."""
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {"bare": [], "engine": []}
    for _ in range(repeats):
        for name, way in (("bare", bare), ("engine", engine)):
            moments = way(NextSymbol(STEPS * BATCH))[WARM_UP_STEPS:]
            seconds[name] += [b - a for a, b in pairwise(moments)]
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(f"{name:7} median {1000 * middle[name]:.3f} ms a step, smallest {1000 * min(values):.3f} ms")
    ratio = middle["engine"] / middle["bare"]
    print(f"ratio   {ratio:.3f} of medians, {min(seconds['engine']) / min(seconds['bare']):.3f} of the smallest")
    print(f"goal    {GOAL}: {'met' if ratio <= GOAL else 'missed'}")
    return int(ratio > GOAL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))

"""How much faster two processes train than one, at the same effective batch.

python benchmarks/ddp_scaling.py [STRATEGY]

Starts torchrun with one process and with two, one thread each, in turn, on the small transformer at twice its width;
counts examples per second after the first steps. The goal on two free cores is 1.6.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fairlead.training.recipes.protocol import Epoch
from fairlead.training.spec import TrainSpec

STEPS, BATCH, WARM_UP_STEPS, WIDTH = 24, 32, 4, 256
REPEATS = 2
GOAL = 1.6


def work(strategy: str, out: str) -> None:
    """One process: trains, and the first one writes the examples per second."""
    import torch
    from small_transformer import NextSymbol  # type: ignore[import-not-found]

    from fairlead.training.engine.lightning import fit

    moments: list[float] = []

    def observe(_done: float, epoch: Epoch | None) -> None:
        if epoch is None:
            moments.append(time.perf_counter())

    values = {"epochs": 1, "batch_size": BATCH, "threads": 1, "strategy": strategy}
    fit(NextSymbol(STEPS * BATCH, WIDTH), TrainSpec.parse(values, "train"), observe)
    if os.environ["RANK"] == "0":
        measured = moments[WARM_UP_STEPS:]
        Path(out).write_text(str((len(measured) - 1) * BATCH / (measured[-1] - measured[0])))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def rate(processes: int, strategy: str) -> float:
    """Examples per second of so many processes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rate"
        command = [
            sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone",
            "--nproc-per-node", str(processes), __file__, strategy, str(out),
        ]  # fmt: skip
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        return float(out.read_text())


def main(strategy: str) -> int:
    """Prints the figures; the exit status says whether the goal is met."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(REPEATS):
        for processes, values in rates.items():
            values.append(rate(processes, strategy))
    for processes, values in rates.items():
        print(f"{processes} process(es): {statistics.median(values):.1f} examples/s, {[round(v, 1) for v in values]}")
    ratio = statistics.median(rates[2]) / statistics.median(rates[1])
    print(f"{strategy}: {ratio:.2f} x on {len(os.sched_getaffinity(0))} cores; goal {GOAL}")
    return int(ratio < GOAL)


if __name__ == "__main__":
    if "RANK" in os.environ:
        work(sys.argv[1], sys.argv[2])
    else:
        sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "ddp"))

"""What composing pipelines costs: importing the catalog beside a bare `import kfp.dsl`, each in fresh processes.

    python benchmarks/catalog_import.py
    python benchmarks/catalog_import.py --repeats 20

The goal is 0.6 s for the catalog. The first import after an installation compiles bytecode and is not counted.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

STATEMENTS = ("import kfp.dsl", "import fairlead.components")
GOAL_SECONDS = 0.6


class Cost(NamedTuple):
    """What a process took: seconds of wall time, and of the processor, which a busy machine changes less."""

    wall: float
    processor: float


def cost(statement: str) -> Cost:
    """Runs one statement in a fresh Python.

    Args:
        statement: What it runs.

    Returns:
        What the process took from start to exit.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def median(costs: list[Cost]) -> Cost:
    """The median of each part."""
    return Cost(*(statistics.median(part) for part in zip(*costs, strict=True)))


def main() -> None:
    """Measures both in turn, so that a busy moment of the machine meets both, and prints the medians."""
    parser = argparse.ArgumentParser(description="Import of the catalog beside a bare kfp.dsl.")
    parser.add_argument("--repeats", type=int, default=10)
    repeats = parser.parse_args().repeats
    nothing = median([cost("pass") for _ in range(repeats)])
    for statement in STATEMENTS:
        cost(statement)
    rounds = [[cost(statement) for statement in STATEMENTS] for _ in range(repeats)]
    bare, catalog = (median([each[index] for each in rounds]) for index in range(len(STATEMENTS)))
    for statement, taken in zip(STATEMENTS, (bare, catalog), strict=True):
        wall, processor = taken.wall - nothing.wall, taken.processor - nothing.processor
        print(f"{statement:30s} {wall:6.3f} s wall  {processor:6.3f} s processor")
    print(f"the catalog adds {catalog.processor - bare.processor:.3f} s of processor; goal for it all {GOAL_SECONDS} s")


if __name__ == "__main__":
    main()

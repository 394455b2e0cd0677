"""What a step costs on a laptop: a fairlead component beside a bare kfp.local one that does nothing.

    python benchmarks/task_overhead.py
    python benchmarks/task_overhead.py --steps 20

Both run under kfp.local's SubprocessRunner, one step after another. The fairlead component is ingest_dataset on a CSV
of a hundred rows: a fresh process, its imports, its work, and a dataset written whole (with fsync). The same work
called as a function in a warm process is shown beside it, so that the difference is the step's overhead.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp import dsl, local

from fairlead import components, image

ROWS = 100


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def do_nothing(name: str) -> str:
    """Gives back its input.

    Args:
        name: Anything.

    Returns:
        The same.
    """
    return name


@dsl.pipeline(name="bare-step")
def bare_step(name: str, source: str) -> None:
    """Runs one step that does nothing."""
    del source
    do_nothing(name=name)


@dsl.pipeline(name="fairlead-step")
def fairlead_step(name: str, source: str) -> None:
    """Runs one step that ingests a small file."""
    components.ingest_dataset(name=name, source=source)


def write_rows(path: Path) -> Path:
    """Writes a small CSV: `id` and `value`."""
    path.write_text("id,value\n" + "".join(f"{row},{row * 0.5}\n" for row in range(ROWS)), encoding="utf-8")
    return path


def timed(call: Callable[..., Any], steps: int, **arguments: str) -> list[float]:
    """The seconds of each of some calls; what they print is dropped."""
    times = []
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        for _ in range(steps + 1):
            started = time.perf_counter()
            call(**arguments)
            times.append(time.perf_counter() - started)
    return times[1:]  # the first one compiles bytecode and fills the file cache


def main() -> None:
    """Measures the three and prints their medians."""
    parser = argparse.ArgumentParser(description="The overhead of a step.")
    parser.add_argument("--steps", type=int, default=10)
    steps = parser.parse_args().steps
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    warnings.simplefilter("ignore")  # kfp warns of settings that only a cluster obeys
    with tempfile.TemporaryDirectory() as folder:
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=f"{folder}/root", enable_caching=False)
        source = str(write_rows(Path(folder) / "rows.csv"))
        bare = statistics.median(timed(bare_step, steps, name="rows", source=source))
        step = statistics.median(timed(fairlead_step, steps, name="rows", source=source))
        output = dsl.Dataset(name="dataset", uri=f"{folder}/warm", metadata={})
        function = components.ingest_dataset.python_func
        work = statistics.median(timed(function, steps, dataset=output, name="rows", source=source))
    print(f"bare kfp.local step           {bare * 1000:7.0f} ms")
    print(f"fairlead step (ingest_dataset) {step * 1000:6.0f} ms")
    print(f"its work in a warm process    {work * 1000:7.0f} ms")
    print(f"overhead over the bare step   {(step - work - bare) * 1000:7.0f} ms (imports of the step's own libraries)")


if __name__ == "__main__":
    main()

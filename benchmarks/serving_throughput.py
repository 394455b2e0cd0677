"""How many requests a second one core serves: fairlead_serving beside stock kserve, FastAPI and MLServer, in one run.

    python benchmarks/serving_throughput.py                              # about 15 minutes; needs Linux and h2load
    python benchmarks/serving_throughput.py --rounds 1 --seconds 2
    python benchmarks/serving_throughput.py --output benchmarks/results

All servers run the same ONNX graph with ONNX Runtime on one thread, one process each, pinned to core 0; the client is
h2load (Debian: nghttp2-client) on core 1, over HTTP/1.1 and, for gRPC, HTTP/2. Every server's first answer is compared
with ONNX Runtime's own. What is compared takes turns, several times; the tables hold medians. Beside requests per
second stands what no neighbour on the machine can spoil: requests per second of the server's own CPU time. MLServer
gets an environment of its own under build/serving-mlserver, because its pins contradict ours.

fairlead checks every request against the model's signature, counts it, and answers with the model's digest and a
request id; the others do not. No server keeps a log of its predictions.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from serving.servers import (  # type: ignore[import-not-found] # beside the script that is run
    RAW_HEADERS,
    bare_rate,
    fairlead,
    fastapi,
    make_models,
    tabular_targets,
    v2,
)
from serving.targets import Target, load  # type: ignore[import-not-found] # beside the script that is run

from fairlead import plots

CONCURRENCY = (1, 8, 32)
GOALS = "goals: at least 1.3 times FastAPI and 3 times stock kserve, p99 no worse than FastAPI's"


def compare(targets: list[Target], concurrency: tuple[int, ...], rounds: int, seconds: int, folder: Path) -> None:
    """Asks all targets in turns."""
    for turn in range(rounds):
        for clients in concurrency:
            for target in targets:
                print(f"round {turn + 1}, {clients} clients: {target.server} {target.protocol}", file=sys.stderr)
                load(target, clients, seconds, folder)


def table(targets: list[Target], bare: float) -> list[str]:
    """The table of the small model."""
    lines = ["Small model: 16 numbers, layers of 64 and 32; requests/s (p50, p99 in ms) | requests per CPU second", ""]
    lines.append(f"  {'server':<10}{'protocol':<9}" + "".join(f"{f'c = {n}':<44}" for n in CONCURRENCY))
    for target in sorted(targets, key=lambda one: (one.protocol, -one.rate(8))):
        cells = []
        for clients in CONCURRENCY:
            p50, p99 = target.percentiles(clients)
            cells.append(f"{target.rate(clients):7,.0f} ({p50:6.2f}, {p99:7.2f}) | {target.per_cpu(clients):7,.0f}")
        lines.append(f"  {target.server:<10}{target.protocol:<9}" + "".join(f"{cell:<44}" for cell in cells))
    return [*lines, "", f"  ONNX Runtime alone: {bare:,.0f} predictions/s", ""]


def ratios(targets: list[Target]) -> list[str]:
    """Fairlead beside each other server, protocol by protocol."""
    known = {(target.server, target.protocol): target for target in targets}
    lines = [f"fairlead beside the others ({GOALS}): requests/s | per CPU second | p99", ""]
    for (server, protocol), other in sorted(known.items()):
        own = known.get(("fairlead", protocol))
        if server == "fairlead" or own is None:
            continue
        cells = [
            f"c = {n}: {own.rate(n) / other.rate(n):.2f} | {own.per_cpu(n) / other.per_cpu(n):.2f} | "
            f"{own.percentiles(n)[1]:.2f} and {other.percentiles(n)[1]:.2f} ms"
            for n in CONCURRENCY
        ]
        lines.append(f"  {server:<9}{protocol:<8}" + "     ".join(cells))
    return [*lines, ""]


def measure_large(package: Path, concurrency: tuple[int, ...], rounds: int, seconds: int, folder: Path) -> list[str]:
    """A model that takes milliseconds: fairlead and FastAPI over binary tensors, beside ONNX Runtime alone."""
    if package.name == "resnet50":
        values = np.random.default_rng(1).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
        name = "image"
    else:
        values, name = np.random.default_rng(1).normal(size=(1, 1024)).astype(np.float32), "numeric"
    with ExitStack() as stack:
        url, _, pid = fairlead(stack, package, folder)
        own = Target("fairlead", "binary", f"{url}/v2/models/{package.name}/infer", *v2(name, values, binary=True), pid)
        base, other_pid = fastapi(stack, package, folder)
        other = Target("FastAPI", "binary", f"{base}/predict-binary", values.tobytes(), RAW_HEADERS, other_pid)
        bare: list[float] = []
        for _ in range(rounds):
            bare.append(bare_rate(package, seconds))
            compare([own, other], concurrency, 1, seconds, folder)
    alone = statistics.median(bare)
    lines = [f"{package.name}: ONNX Runtime alone, row by row: {alone:,.1f} predictions/s"]
    for target in (own, other):
        for clients in concurrency:
            (p50, p99), rate, busy = target.percentiles(clients), target.rate(clients), target.per_cpu(clients)
            lines.append(
                f"  {target.server:<9} c = {clients:<3}{rate:8,.1f} requests/s ({p50:.1f}, {p99:.1f} ms), "
                f"{rate / alone:.2f} of it | {busy:8,.1f} per CPU second, {busy / alone:.2f} of it"
            )
    return [*lines, ""]


def machine() -> str:
    """What it was measured on."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    one, five, _ = os.getloadavg()
    return (
        f"Machine: {names[0]}, {len(names)} cores, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}; load average {one:.1f} (1 min), {five:.1f} (5 min) at the end, of which the "
        "benchmark makes 2"
    )


def draw(targets: list[Target], path: Path) -> None:
    """Draws the small model's rates at eight clients."""
    chosen = sorted(targets, key=lambda one: one.rate(8))
    drawn, axes = plots.figure(width=7.5, height=0.34 * len(chosen) + 1.0)
    colours = [plots.SERIES[0] if target.server == "fairlead" else plots.SERIES[-1] for target in chosen]
    names = [f"{target.server} {target.protocol}" for target in chosen]
    axes.barh(names, [target.rate(8) for target in chosen], color=colours)
    plots.label(axes, x="requests per second on one core, small model, 8 connections")
    drawn.savefig(path, format="svg", metadata={"Date": None}, facecolor="white", bbox_inches="tight")


def main() -> None:
    """Measures, prints, and writes where asked."""
    parser = argparse.ArgumentParser(description="The throughput of servers.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--models", type=Path, help="a folder that keeps the models; a temporary one by default")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, models = Path(place), given.models or Path(place) / "models"
        make_models(models)
        with ExitStack() as stack:
            targets, lacking = tabular_targets(stack, models / "tabular", folder)
            compare(targets, CONCURRENCY, given.rounds, given.seconds, folder)
        lines = [
            *table(targets, bare_rate(models / "tabular", 2)),
            *ratios(targets),
            *([lacking, ""] if lacking else []),
        ]
        lines += measure_large(models / "memory", (1, 32), given.rounds, given.seconds, folder)
        lines += measure_large(models / "resnet50", (1, 8), given.rounds, 2 * given.seconds, folder)
    text = "\n".join([*lines, f"Medians of {given.rounds} rounds of {given.seconds} s, taken in turns.", machine()])
    print(text)
    if given.output:
        (given.output / "serving_throughput.txt").write_text(text + "\n", encoding="utf-8")
        draw(targets, given.output / "serving_throughput.svg")


if __name__ == "__main__":
    main()

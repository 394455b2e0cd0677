"""Evaluating a million rows: how long it takes beside plain numpy, and how much memory.

    python benchmarks/evaluate_million_rows.py            1,000,000 rows of 12 inputs
    python benchmarks/evaluate_million_rows.py 200000     fewer

Both ways read the same Parquet dataset, predict with the same ONNX package and compute ROC AUC, average precision, log
loss, Brier score, calibration error and F1; they must agree. Plain numpy reads the whole table, predicts it in one go,
and computes estimates only. evaluate_model streams, and gives 20 figures with intervals of 1,000 resamples, the
verdict and the report besides. Each runs in a process of its own, whose peak memory is told above that of a process
which has only imported what it needs. Everything is made up from a seed.
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

INPUTS = 12
ROWS_AT_ONCE = 100_000
LARGEST_RATIO = 3.0
LARGEST_BYTES_A_ROW = 400.0
"""Labels, probabilities, the units of the bootstrap and what one sort of them takes: a few dozen float64 a row."""

Figures = dict[str, float]


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Rows whose label follows a logistic model."""
    rng = np.random.default_rng(7)
    weights = np.linspace(-1, 1, INPUTS)
    for start in range(0, rows, ROWS_AT_ONCE):
        inputs = rng.normal(size=(min(ROWS_AT_ONCE, rows - start), INPUTS)).astype(np.float32)
        chance = 1 / (1 + np.exp(1 - inputs @ weights))
        label = (rng.random(len(inputs)) < chance).astype(np.int8)
        columns = {f"x{at}": inputs[:, at] for at in range(INPUTS)}
        yield pa.record_batch({**columns, "late": label})


def make_package(path: Path) -> None:
    """A package of one linear layer, a little too sure of itself."""
    from onnx import TensorProto, helper, numpy_helper

    from fairlead_serving.package import Manifest, ModelInput

    weights = (1.3 * np.linspace(-1, 1, INPUTS)).astype(np.float32)[:, None]
    nodes = [
        helper.make_node("MatMul", ["numeric", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["probability"]),
    ]
    values: dict[str, np.ndarray] = {
        "weights": weights,
        "bias": np.array([-1.2], np.float32),
        "axis": np.array([1], np.int64),
    }
    graph = helper.make_graph(
        nodes, "linear", [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["N", INPUTS])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )  # fmt: skip
    (path / "fairlead").mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (path / "model.onnx").write_bytes(model.SerializeToString())
    manifest = Manifest("linear", "binary", "late", tuple(ModelInput(f"x{at}", "numeric") for at in range(INPUTS)))
    (path / "fairlead" / "package.json").write_text(json.dumps(manifest.to_json()))


def by_numpy(folder: Path) -> Figures:
    """What one writes by hand: the table in memory, one prediction, figures by numpy."""
    from fairlead import datasets
    from fairlead_serving.package import ModelPackage

    table = datasets.read_table(folder / "test")
    package = ModelPackage.open(folder / "package")
    said = package.predict({f"x{at}": table[f"x{at}"].to_numpy() for at in range(INPUTS)})["probability"]
    labels, said = table["late"].to_numpy(), said.astype(np.float64)
    order = np.argsort(-said, kind="stable")
    last = np.flatnonzero(np.append(np.diff(said[order]) != 0, True))
    hits = np.append(0, np.cumsum(labels[order], dtype=np.int64)[last])
    misses = np.append(0, last + 1) - hits
    true_rate, false_rate = hits / hits[-1], misses / misses[-1]
    sure = np.clip(said, 2**-23, 1 - 2**-23)
    bins = np.empty(said.size, dtype=np.int64)
    bins[order] = 14 - np.arange(said.size) * 15 // said.size
    gaps = np.bincount(bins, said, 15) - np.bincount(bins, labels, 15)
    yes = said >= 0.5
    return {
        "roc_auc": float(np.trapezoid(true_rate, false_rate)),
        "average_precision": float(np.sum(np.diff(true_rate) * (hits / np.maximum(hits + misses, 1))[1:])),
        "log_loss": float(-np.mean(np.log(np.where(labels == 1, sure, 1 - sure)))),
        "brier": float(np.mean((said - labels) ** 2)),
        "expected_calibration_error": float(np.abs(gaps).sum() / said.size),
        "f1": float(2 * np.sum(yes & (labels == 1)) / (yes.sum() + labels.sum())),
    }


def by_fairlead(folder: Path) -> Figures:
    """evaluate_model: with intervals, verdict and report."""
    from fairlead.evaluation.evaluate_model.task import evaluate_model

    paths = folder / "package", folder / "test"
    return evaluate_model(*paths, "late", {}, folder / "verdict.json", folder / "report.html").metrics


def only_imports(folder: Path) -> Figures:
    """What both need before the first row."""
    import matplotlib.figure  # noqa: F401
    import onnxruntime  # noqa: F401
    import pyarrow.dataset  # noqa: F401

    import fairlead.evaluation.evaluate_model.task  # noqa: F401

    return {"inputs": float((folder / "package").is_dir())}


def measured(work: Callable[[Path], Figures], folder: Path, answers: Any) -> None:
    """Runs in a process of its own, after the imports: seconds, peak memory, figures."""
    only_imports(folder)
    started = time.perf_counter()
    figures = work(folder)
    seconds = time.perf_counter() - started
    answers.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, figures))


def run(work: Callable[[Path], Figures], folder: Path) -> tuple[float, int, Figures]:
    """Measures work in a fresh process."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=measured, args=(work, folder, answers))
    process.start()
    found: tuple[float, int, Figures] = answers.get(timeout=600)
    process.join()
    return found


def main(rows: int) -> int:
    """Makes the rows, measures both ways, and compares."""
    from fairlead.datasets import write_dataset

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_dataset(folder / "test", batches(rows), next(batches(1)).schema, name="test", source="made up")
        make_package(folder / "package")
        _, nothing, _ = run(only_imports, folder)
        results = {name: run(work, folder) for name, work in (("numpy", by_numpy), ("fairlead", by_fairlead))}
    for name, (seconds, peak, _) in results.items():
        print(
            f"{name:10} {seconds:7.2f} s   {(peak - nothing) / 2**20:7.0f} MB above {nothing / 2**20:.0f} MB of imports"
        )
    (plain, _, expected), (ours, peak, found) = results["numpy"], results["fairlead"]
    gaps = {name: abs(value - found[name]) for name, value in expected.items()}
    a_row = (peak - nothing) / rows
    print(f"largest difference of a figure: {max(gaps.values()):.2g}")
    print(f"{rows:,} rows: {ours / plain:.2f} times plain numpy (at most {LARGEST_RATIO}), {a_row:.0f} bytes a row")
    right = max(gaps.values()) < 1e-5 and ours / plain <= LARGEST_RATIO
    return 0 if right and (a_row <= LARGEST_BYTES_A_ROW or rows < 10**6) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))

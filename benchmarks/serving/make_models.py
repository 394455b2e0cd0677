"""Makes the packages that the servers of serving_throughput.py answer from.

python benchmarks/serving/make_models.py FOLDER

tabular   16 numbers, layers of 64 and 32: some microseconds, so that the server is what costs
memory    1024 numbers, two layers of 4096: its 84 MB of weights fit no cache
resnet50  the convolutions of ResNet-50 on 224 x 224 pixels, 25.5 million weights, random: only its time matters
"""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
EXPANSION, SIDE, CLASSES = 4, 224, 10


class Graph:
    """A graph that grows by layers; the last tensor is `here`."""

    def __init__(self, here: str) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.here = here
        self._random = np.random.default_rng(0)

    def constant(self, values: Any) -> str:
        """Adds a constant."""
        name = f"constant{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node; gives its output, which is the new `here`."""
        self.here = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [self.here], **attributes))
        return self.here

    def dense(self, given: int, units: int) -> None:
        """Adds a dense layer."""
        weights = self._random.normal(0, given**-0.5, (given, units)).astype(np.float32)
        self.add("Gemm", self.here, self.constant(weights), self.constant(np.zeros(units, np.float32)))

    def convolve(self, source: str, given: int, channels: int, size: int, stride: int = 1) -> str:
        """Adds a convolution."""
        deviation = (2 / (given * size * size)) ** 0.5
        weights = self._random.normal(0, deviation, (channels, given, size, size)).astype(np.float32)
        bias = self.constant(np.zeros(channels, np.float32))
        pad = size // 2
        return self.add("Conv", source, self.constant(weights), bias, strides=[stride, stride], pads=[pad] * 4)

    def save(self, path: Path, name: str, shape: list[Any], kind: int, output: list[Any]) -> None:
        """Writes the graph as model.onnx."""
        self.nodes.append(helper.make_node("Identity", [self.here], ["probability"]))
        graph = helper.make_graph(
            self.nodes, "model", [helper.make_tensor_value_info(name, kind, shape)],
            [helper.make_tensor_value_info("probability", TensorProto.FLOAT, output)], self.weights,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        (path / "model.onnx").write_bytes(model.SerializeToString())


def start(path: Path, task: str, inputs: list[dict[str, Any]], classes: list[str]) -> Path:
    """Makes a package's folder with its manifest."""
    (path / "fairlead").mkdir(parents=True)
    manifest = {
        "format": 1, "name": path.name, "task": task, "label": "label", "inputs": inputs, "threshold": 0.5,
        "outputs": ["probability"], "request": None, **({"classes": classes} if classes else {}),
    }  # fmt: skip
    (path / "fairlead" / "package.json").write_text(json.dumps(manifest), encoding="utf-8")
    return path


def write_layers(path: Path, sizes: list[int]) -> None:
    """Writes a perceptron of numbers."""
    several = sizes[-1] > 1
    names = [{"name": f"x{place}", "kind": "numeric"} for place in range(sizes[0])]
    classes = [str(k) for k in range(sizes[-1])] if several else []
    start(path, "multiclass" if several else "binary", names, classes)
    graph = Graph("numeric")
    for place, (given, units) in enumerate(pairwise(sizes)):
        graph.dense(given, units)
        if place < len(sizes) - 2:
            graph.add("Relu", graph.here)
    if several:
        graph.add("Softmax", graph.here, axis=1)
    else:
        graph.add("Squeeze", graph.add("Sigmoid", graph.here), graph.constant(np.array([1])))
    output = ["N", sizes[-1]] if several else ["N"]
    graph.save(path, "numeric", ["N", sizes[0]], TensorProto.FLOAT, output)


def write_resnet(path: Path) -> None:
    """Writes a network of ResNet-50's size."""
    image = {"name": "image", "kind": "image", "shape": [SIDE, SIDE, 3]}
    start(path, "multiclass", [image], [str(k) for k in range(CLASSES)])
    graph = Graph("image")
    scaled = graph.add("Div", graph.add("Cast", "image", to=TensorProto.FLOAT), graph.constant(np.float32(255)))
    graph.convolve(graph.add("Transpose", scaled, perm=[0, 3, 1, 2]), 3, 64, 7, 2)
    graph.add("MaxPool", graph.add("Relu", graph.here), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    width = 64
    for channels, blocks, first_stride in STAGES:
        for block in range(blocks):
            width = _add_block(graph, width, channels, first_stride if block == 0 else 1)
    graph.add("Flatten", graph.add("GlobalAveragePool", graph.here))
    graph.dense(width, CLASSES)
    graph.add("Softmax", graph.here, axis=1)
    graph.save(path, "image", ["N", SIDE, SIDE, 3], TensorProto.UINT8, ["N", CLASSES])


def _add_block(graph: Graph, width: int, channels: int, stride: int) -> int:
    source, wide = graph.here, channels * EXPANSION
    graph.add("Relu", graph.convolve(source, width, channels, 1))
    graph.add("Relu", graph.convolve(graph.here, channels, channels, 3, stride))
    # a tenth of the usual deviation would be needed to keep random activations small; their size does not matter here
    inner = graph.add("Mul", graph.convolve(graph.here, channels, wide, 1), graph.constant(np.float32(0.1)))
    outer = source if width == wide and stride == 1 else graph.convolve(source, width, wide, 1, stride)
    graph.add("Relu", graph.add("Add", inner, outer))
    return wide


def main() -> None:
    """Makes those packages that the folder lacks."""
    folder = Path(sys.argv[1])
    makers = {
        "tabular": lambda path: write_layers(path, [16, 64, 32, 1]),
        "memory": lambda path: write_layers(path, [1024, 4096, 4096, CLASSES]),
        "resnet50": write_resnet,
    }
    for name, make in makers.items():
        if not (folder / name / "model.onnx").exists():
            make(folder / name)


if __name__ == "__main__":
    main()

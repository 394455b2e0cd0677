"""Boosted trees about to leave scikit-learn: their own predictions, and their ONNX graph.

The graph is written node by node: skl2onnx, which turns scikit-learn's models into ONNX, needs scikit-learn's
estimator, which a checkpoint without pickle does not hold. The operator
`TreeEnsemble` of ai.onnx.ml 5 knows sets and missing values (https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.training.recipes.forest import BITS, Array, Forest
from fairlead.training.recipes.graph_inputs import example_tensors, model_inputs
from fairlead.training.recipes.protocol import Design, Tensors
from fairlead.training.tabular import encode_inputs
from fairlead_serving.package import FIRST_KNOWN, OUTPUTS, ModelInput

if TYPE_CHECKING:
    import pyarrow as pa

OPSET, TREE_OPSET, IR_VERSION = 20, 5, 10
AT_MOST, MEMBER, SUM = 0, 6, 1  # of TreeEnsemble


class ForestGraph:
    """Boosted trees; see `fairlead.training.recipes.protocol.Graph`.

    Attributes:
        framework: scikit-learn.
    """

    framework = "scikit-learn"

    def __init__(self, forest: Forest, design: Design) -> None:
        """Wraps trees."""
        self.forest, self.design = forest, design

    @property
    def example(self) -> Tensors:
        """One row of zeros for each input tensor."""
        return example_tensors(self.design)

    def inputs(self) -> tuple[ModelInput, ...]:
        """The model's input columns; see `Graph.inputs`."""
        return model_inputs(self.design)

    def predict(self, table: "pa.Table") -> Tensors:
        """Predicts with scikit-learn; see `Graph.predict`."""
        model = self.design.model
        raw = self.forest.raw_scores(*encode_inputs(table, model, self.design.vocabularies))
        return {OUTPUTS[model.task]: _answer(raw, model.task).astype(np.float32)}

    def write_onnx(self, path: Path) -> None:
        """Writes the ONNX graph; see `Graph.write_onnx`."""
        path.write_bytes(_graph(self.forest, self.design).SerializeToString(deterministic=True))


def _answer(raw: Array, task: str) -> Array:
    if task == "multiclass":
        powers = np.exp(raw - raw.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    return np.asarray(1 / (1 + np.exp(-raw[:, 0])) if task == "binary" else raw[:, 0])


@dataclass
class _Ensemble:
    """The attributes of TreeEnsemble, being filled tree by tree."""

    modes: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    true: list[tuple[int, bool]] = field(default_factory=list)
    false: list[tuple[int, bool]] = field(default_factory=list)
    members: list[float] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    def add(self, forest: Forest, words: list[int], tree: dict[str, Array], bitsets: Array, target: int) -> None:
        """Adds a tree; `words` are the codes of each categorical column."""
        leaves = np.asarray(tree["is_leaf"], bool)
        inner, outer = np.cumsum(~leaves) - 1 + len(self.modes), np.cumsum(leaves) - 1 + len(self.values)
        self.roots.append(len(self.modes))
        for node in np.flatnonzero(~leaves):
            self._add_split(forest, words, tree, bitsets, int(node))
            for side, to in (("left", self.true), ("right", self.false)):
                child = int(tree[side][node])
                to.append((int(outer[child] if leaves[child] else inner[child]), bool(leaves[child])))
        if leaves[0]:  # a tree that found nothing to split: one node, whose two sides are its leaf
            self._split(AT_MOST, 0, 0.0, missing=True)
            self.true.append((int(outer[0]), True))
            self.false.append((int(outer[0]), True))
        self.values += tree["value"][leaves].tolist()
        self.targets += [target] * int(leaves.sum())

    def _add_split(self, forest: Forest, words: list[int], tree: dict[str, Array], bitsets: Array, node: int) -> None:
        column, missing = int(tree["feature_idx"][node]), bool(tree["missing_go_to_left"][node])
        if not tree["is_categorical"][node]:
            self._split(AT_MOST, column, round_down(float(tree["num_threshold"][node])), missing=missing)
            return
        bits = bitsets[int(tree["bitset_idx"][node])]
        seen = {int(code): ordinal for ordinal, code in enumerate(forest.codes[column])}
        left = [code for code in range(words[column]) if (_has(bits, seen[code]) if code in seen else missing)]
        self._split(MEMBER, column, 0.0, missing=False)
        self.members += [*map(float, left), float("nan")]

    def _split(self, mode: int, column: int, split: float, *, missing: bool) -> None:
        self.modes.append(mode)
        self.features.append(column)
        self.splits.append(split)
        self.missing.append(int(missing))

    def attributes(self, targets: int) -> dict[str, Any]:
        """The attributes of the node."""
        from onnx import TensorProto, helper

        def floats(name: str, values: list[float]) -> Any:
            return helper.make_tensor(name, TensorProto.FLOAT, [len(values)], np.array(values, np.float32))

        modes = helper.make_tensor("modes", TensorProto.UINT8, [len(self.modes)], np.array(self.modes, np.uint8))
        sets = {"membership_values": floats("members", self.members)} if self.members else {}
        return {
            "n_targets": targets, "aggregate_function": SUM, "post_transform": 0, "tree_roots": self.roots,
            "nodes_modes": modes,
            "nodes_featureids": self.features, "nodes_splits": floats("splits", self.splits),
            "nodes_missing_value_tracks_true": self.missing,
            "nodes_truenodeids": [to for to, _ in self.true], "nodes_trueleafs": [int(leaf) for _, leaf in self.true],
            "nodes_falsenodeids": [to for to, _ in self.false],
            "nodes_falseleafs": [int(leaf) for _, leaf in self.false],
            "leaf_targetids": self.targets, "leaf_weights": floats("values", self.values), **sets,
        }  # fmt: skip


def round_down(threshold: float) -> float:
    """The largest 32-bit float that is at most a threshold: the same 32-bit floats are at most either of them."""
    with np.errstate(over="ignore"):
        rounded = np.float32(threshold)
    return float(np.nextafter(rounded, np.float32(-np.inf)) if float(rounded) > threshold else rounded)


def _has(bits: Array, ordinal: int) -> bool:
    return bool(int(bits[ordinal // BITS]) >> (ordinal % BITS) & 1)


def _graph(forest: Forest, design: Design) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    words = [FIRST_KNOWN + size for size in design.vocabulary_sizes]
    ensemble = _Ensemble()
    for number, (tree, bitsets) in enumerate(forest.trees()):
        ensemble.add(forest, words, tree, bitsets, number % forest.outputs)
    kinds = {"numeric": TensorProto.FLOAT, "categorical": TensorProto.INT64}
    examples, output = example_tensors(design), OUTPUTS[design.model.task]
    inputs = [helper.make_tensor_value_info(n, kinds[n], ["rows", v.shape[1]]) for n, v in examples.items()]
    nodes = [*_joined(list(examples)), *_answers(ensemble.attributes(forest.outputs), design.model.task, output)]
    shape: list[str | int | None] = ["rows", forest.outputs] if design.model.task == "multiclass" else ["rows"]
    constants = [numpy_helper.from_array(forest.baseline.astype(np.float32), "baseline")]
    constants += [numpy_helper.from_array(np.array([1], np.int64), "second")] if len(shape) == 1 else []
    graph = helper.make_graph(
        nodes, "trees", inputs, [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)], constants
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", TREE_OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fairlead")


def _joined(names: list[str]) -> list[Any]:
    """The trees' input `columns`: the categorical codes as floats, then the numbers."""
    from onnx import TensorProto, helper

    parts = [name for name in ("categorical", "numeric") if name in names]
    cast = [helper.make_node("Cast", ["categorical"], ["codes"], to=TensorProto.FLOAT)] if parts[0] != "numeric" else []
    joined = ["codes" if name == "categorical" else name for name in parts]
    return [*cast, helper.make_node("Concat", joined, ["columns"], axis=1)]


def _answers(attributes: dict[str, Any], task: str, output: str) -> list[Any]:
    from onnx import helper

    trees = helper.make_node("TreeEnsemble", ["columns"], ["sums"], domain="ai.onnx.ml", **attributes)
    added = helper.make_node("Add", ["sums", "baseline"], ["raw"])
    if task == "multiclass":
        return [trees, added, helper.make_node("Softmax", ["raw"], [output], axis=1)]
    if task == "binary":
        last = [
            helper.make_node("Squeeze", ["raw", "second"], ["score"]),
            helper.make_node("Sigmoid", ["score"], [output]),
        ]
    else:
        last = [helper.make_node("Squeeze", ["raw", "second"], [output])]
    return [trees, added, *last]

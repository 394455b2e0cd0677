"""Trees as arrays: from scikit-learn's predictors, as stored weights, and back.

scikit-learn keeps a tree's nodes in one array of records (`PREDICTOR_RECORD_DTYPE`) and has no public way to them but
pickle, which a checkpoint may not hold. Here each field that predicting needs is an array of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairlead.errors import SourceError

Array = np.ndarray[Any, Any]
Weights = dict[str, Array]

NODE_FIELDS = (
    "value", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right", "is_leaf", "is_categorical",
    "bitset_idx",
)  # fmt: skip
WORDS = 8  # of 32 bits: a set of up to 256 categories
BITS = 32


@dataclass(frozen=True)
class Forest:
    """The trees of all rounds, and how columns become their inputs.

    Attributes:
        nodes: For each field of `NODE_FIELDS` its values over all nodes of all trees.
        bitsets: uint32 (B, 8), the categories that go left, one row for each split by a set.
        tree_nodes: int64 (T,), nodes of each tree; trees are in rounds, in a round by class.
        tree_bitsets: int64 (T,), rows of `bitsets` of each tree.
        baseline: float64 (K,), what is predicted before the first tree.
        codes: Of each categorical column: the codes that training saw, in order. scikit-learn calls them 0, 1, …; any
            other code is to it a missing value.
    """

    nodes: Mapping[str, Array]
    bitsets: Array
    tree_nodes: Array
    tree_bitsets: Array
    baseline: Array
    codes: Sequence[Array]

    @property
    def outputs(self) -> int:
        """Raw scores of a row."""
        return len(self.baseline)

    def raw_scores(self, numeric: Array, categorical: Array) -> Array:
        """Predicts with scikit-learn's own code.

        Args:
            numeric: float32 (N, F), NaN where missing.
            categorical: int64 (N, C), codes.

        Returns:
            float64 (N, K).
        """
        from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

        values = tree_inputs(numeric, categorical, self.codes)
        known, places = self._known(values.shape[1])
        raw = np.tile(self.baseline, (len(values), 1))
        for tree, (nodes, bitsets) in enumerate(self.trees()):
            predictor = TreePredictor(_records(nodes), bitsets, bitsets)
            raw[:, tree % self.outputs] += predictor.predict(values, known, places, n_threads=1)
        return raw

    def trees(self) -> list[tuple[dict[str, Array], Array]]:
        """The nodes (by field) and the sets of each tree."""
        cuts, set_cuts = np.cumsum(self.tree_nodes)[:-1], np.cumsum(self.tree_bitsets)[:-1]
        fields = {name: np.split(values, cuts) for name, values in self.nodes.items()}
        sets = np.split(self.bitsets, set_cuts)
        return [({name: parts[t] for name, parts in fields.items()}, sets[t]) for t in range(len(self.tree_nodes))]

    def _known(self, columns: int) -> tuple[Array, Array]:
        known = np.zeros((len(self.codes), WORDS), np.uint32)
        for i, seen in enumerate(self.codes):
            for ordinal in range(len(seen)):
                known[i, ordinal // BITS] |= np.uint32(1 << (ordinal % BITS))
        places = np.zeros(columns, np.uint32)
        places[: len(self.codes)] = np.arange(len(self.codes))
        return known, places

    def to_weights(self) -> Weights:
        """The arrays of a checkpoint."""
        weights = {f"nodes.{name}": values for name, values in self.nodes.items()}
        codes = {f"codes.{i}": values for i, values in enumerate(self.codes)}
        return {
            **weights, **codes, "bitsets": self.bitsets, "tree_nodes": self.tree_nodes,
            "tree_bitsets": self.tree_bitsets, "baseline": self.baseline,
        }  # fmt: skip

    @classmethod
    def from_weights(cls, weights: Mapping[str, Array], columns: int) -> "Forest":
        """Reads the arrays of a checkpoint.

        Args:
            weights: From `to_weights`.
            columns: The model's inputs.

        Raises:
            SourceError: An array is absent, or they do not fit each other or the model.
        """
        try:
            nodes = {name: weights[f"nodes.{name}"] for name in NODE_FIELDS}
            codes = [weights[f"codes.{i}"] for i in range(sum(name.startswith("codes.") for name in weights))]
            forest = cls(
                nodes, weights["bitsets"], weights["tree_nodes"], weights["tree_bitsets"], weights["baseline"], codes
            )
        except KeyError as error:
            raise SourceError(f"the checkpoint's weights lack {error}; train again") from None
        sizes = {len(values) for values in nodes.values()} | {int(forest.tree_nodes.sum())}
        if len(sizes) != 1 or forest.tree_bitsets.sum() != len(forest.bitsets) or nodes["feature_idx"].max() >= columns:
            raise SourceError("the checkpoint's weights do not fit its own description; train again")
        return forest

    @classmethod
    def of_predictors(cls, predictors: Sequence[Sequence[Any]], baseline: Array, codes: Sequence[Array]) -> "Forest":
        """Takes the trees out of scikit-learn's predictors.

        Args:
            predictors: `_predictors` of an estimator: for each round one for each output.
            baseline: `_baseline_prediction`, (1, K) or (K,).
            codes: See `Forest`.
        """
        trees = [predictor for rounds in predictors for predictor in rounds]
        records = np.concatenate([tree.nodes for tree in trees])
        nodes = {name: _plain(records[name]) for name in NODE_FIELDS}
        bitsets = [np.asarray(tree.raw_left_cat_bitsets, np.uint32).reshape(-1, WORDS) for tree in trees]
        return cls(
            nodes, np.concatenate(bitsets), np.array([len(tree.nodes) for tree in trees], np.int64),
            np.array([len(sets) for sets in bitsets], np.int64), np.asarray(baseline, np.float64).ravel(), list(codes),
        )  # fmt: skip


def tree_inputs(numeric: Array, categorical: Array, codes: Sequence[Array]) -> Array:
    """What the trees see of rows.

    Args:
        numeric: float32 (N, F), NaN where missing.
        categorical: int64 (N, C), codes.
        codes: See `Forest`.

    Returns:
        float64 (N, C + F): the categorical columns, NaN where a code is new; the numeric ones.
    """
    columns = [_ordinals(categorical[:, i], seen) for i, seen in enumerate(codes)]
    return np.ascontiguousarray(np.column_stack([*columns, numeric.astype(np.float64)]))


def _ordinals(column: Array, seen: Array) -> Array:
    places = np.searchsorted(seen, column).clip(max=len(seen) - 1)
    return np.where(seen[places] == column, places, np.nan)


def _plain(values: Array) -> Array:
    """A contiguous copy of a type that safetensors has."""
    return np.ascontiguousarray(values, dtype=np.int64 if values.dtype.kind in "iu" else values.dtype)


def _records(nodes: Mapping[str, Array]) -> Array:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    records = np.zeros(len(nodes["value"]), PREDICTOR_RECORD_DTYPE)
    for name, values in nodes.items():
        records[name] = values
    return records

"""Explains predictions of tables: from the package's own reference sample, by `shapley`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairlead_serving.errors import NotExplainableError
from fairlead_serving.package import ModelPackage
from fairlead_serving.shapley import Budget, Shapley, shapley_values

REFERENCE = "fairlead/reference.parquet"
BACKGROUND_ROWS = 64
METHOD = "antithetic permutation sampling of Shapley values"
Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Explanation:
    """What moved one prediction.

    Attributes:
        output: Which output is explained.
        class_name: Of several classes the one whose probability is explained; empty else.
        names: The model's inputs, in order.
        shapley: Their values.
        milliseconds: How long it took.
    """

    output: str
    class_name: str
    names: tuple[str, ...]
    shapley: Shapley
    milliseconds: float

    def to_json(self) -> dict[str, Any]:
        """The explanation as it goes to clients; what moved most comes first."""
        found = self.shapley
        order = np.argsort(-np.abs(found.values), kind="stable")
        return {
            "output": self.output, **({"class": self.class_name} if self.class_name else {}),
            "prediction": found.prediction, "base": found.base,
            "contributions": {self.names[at]: float(found.values[at]) for at in order},
            "standard_errors": {self.names[at]: float(found.errors[at]) for at in order},
            "method": METHOD, "background_rows": found.background, "permutations": 2 * found.pairs,
            "evaluations": found.evaluations, "milliseconds": round(self.milliseconds, 3),
        }  # fmt: skip


class PackageExplainer:
    """Explains the predictions of one package.

    Args:
        package: The package.
        background_rows: How many rows of its reference sample predictions are compared with.

    Raises:
        NotExplainableError: It takes images, or has no reference sample.
    """

    def __init__(self, package: ModelPackage, background_rows: int = BACKGROUND_ROWS) -> None:
        manifest = package.manifest
        if manifest.images:
            raise NotExplainableError(
                f"model {manifest.name!r} takes images; explanations are made of tables, feature by feature"
            )
        self._package, self._output = package, manifest.outputs[0]
        self._background = package.encode(_read_reference(package, background_rows))
        self._rows = len(next(iter(self._background.values())))
        self._numeric = [item.name for item in manifest.numeric]
        self._names = (*self._numeric, *(item.name for item in manifest.categorical))

    def explain(self, columns: Mapping[str, Any], budget: Budget | None = None) -> Explanation:
        """Explains the prediction of one row.

        Args:
            columns: Every input of the model by name, each of length 1.
            budget: What it may cost.

        Raises:
            InputInvalidError: The columns do not fit.
        """
        started = time.perf_counter()
        row = self._package.encode(columns)
        place = self._place(row)
        found = shapley_values(
            lambda masks, rows: self._answers(row, masks, rows, place), len(self._names), self._rows, budget
        )
        classes = self._package.manifest.classes
        name = classes[place] if classes and place is not None else ""
        return Explanation(self._output, name, self._names, found, 1000 * (time.perf_counter() - started))

    def _place(self, row: Tensors) -> int | None:
        """Of several classes the place of the one that is decided."""
        answer = self._run(row)
        return int(answer[0].argmax()) if answer.ndim > 1 else None

    def _answers(self, row: Tensors, masks: np.ndarray, rows: np.ndarray, place: int | None) -> np.ndarray:
        numeric = len(self._numeric)
        parts = {"numeric": masks[:, :numeric], "categorical": masks[:, numeric:]}
        mixed = {
            name: np.where(parts[name], row[name], self._background[name][rows])  # (N, F) or (N, C)
            for name in self._background
        }
        answer = self._run(mixed)
        return answer if place is None else answer[:, place]

    def _run(self, tensors: Tensors) -> np.ndarray:
        answer: np.ndarray = self._package.load().run([self._output], dict(tensors))[0]
        return answer


def _read_reference(package: ModelPackage, most_rows: int) -> dict[str, list[Any]]:
    """Reads rows of the reference sample, evenly spread over it.

    Raises:
        NotExplainableError: The package has none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [item.name for item in package.manifest.inputs]
    try:
        table = pq.read_table(package.path / REFERENCE, columns=names)
    except (OSError, KeyError, pa.ArrowException):
        table = pa.table({})
    if not table.num_rows or any(name not in table.column_names for name in names):
        raise NotExplainableError(
            f"the package of model {package.manifest.name!r} has no reference sample ({REFERENCE}) with its inputs, "
            "and predictions are explained by comparison with it; export the model again"
        )
    chosen = np.unique(np.linspace(0, table.num_rows - 1, min(most_rows, table.num_rows)).astype(np.int64))
    return {name: table[name].take(chosen).to_pylist() for name in names}

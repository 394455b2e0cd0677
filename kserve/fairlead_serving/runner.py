"""Running a package's ONNX graph: in the way that timing found best, each query's answer checked.

A graph that answers what is no prediction (NaN, a wrong shape) is an error of the server's, and of that query only.
"""

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fairlead_serving.answers import Answers
from fairlead_serving.batching import QueryGatherer
from fairlead_serving.errors import PredictionInvalidError, RequestInvalidError, ServingError
from fairlead_serving.histogram import LeanHistogram
from fairlead_serving.package import InputInvalidError, ModelInput, ModelPackage
from fairlead_serving.query import Inputs, Matrix
from fairlead_serving.timing import time_plan

ROWS_AT_ONCE = 256
FEW = 32
Outputs = dict[str, np.ndarray]


class Runner:
    """Runs one package.

    Args:
        package: The package, loaded.
        answers: What its task answers.
        executor: Where predictions run that are not for the event loop.
        sizes: Counts the rows of each run.

    Attributes:
        plan: How it runs, as timed.
    """

    def __init__(
        self, package: ModelPackage, answers: Answers, executor: ThreadPoolExecutor, sizes: LeanHistogram
    ) -> None:
        self._package, self._answers, self._sizes = package, answers, sizes
        self._names = list(package.manifest.outputs)
        self._run(self._example(1))
        self.plan = time_plan(self._time, allow_loop=not package.manifest.images)
        self.rows_on_loop = self.plan.rows if self.plan.mode == "loop" else 0
        rows = self.plan.rows if self.plan.mode == "batch" else 1
        self._gatherer: QueryGatherer[Inputs, Outputs] = QueryGatherer(
            self._run_together, executor, rows, cores(), sizes.observe
        )

    @property
    def waiting(self) -> int:
        """Queries that wait for a thread."""
        return len(self._gatherer)

    async def submit(self, inputs: Inputs, deadline: float | None) -> Outputs:
        """Predicts in a thread, in company where that helps.

        Raises:
            ServingError: The inputs do not fit, the model is broken, or the deadline passed.
        """
        return await self._gatherer.submit(inputs, deadline)

    def run(self, inputs: Inputs) -> Outputs:
        """Predicts now, on the event loop's thread.

        Raises:
            RequestInvalidError: The inputs do not fit.
            PredictionInvalidError: The model answered what is no prediction.
        """
        self._sizes.observe(inputs.rows)
        return self._run(inputs)

    def _run(self, inputs: Inputs) -> Outputs:
        if inputs.rows > ROWS_AT_ONCE:
            return self._run_in_parts(inputs)
        found = self._package.load().run(self._names, self._encode(inputs))
        return self._check(dict(zip(self._names, found, strict=True)), inputs.rows)

    def _run_in_parts(self, inputs: Inputs) -> Outputs:
        starts = range(0, inputs.rows, ROWS_AT_ONCE)
        parts = [self._run(inputs.slice(start, min(start + ROWS_AT_ONCE, inputs.rows))) for start in starts]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run_together(self, queue: Sequence[Inputs]) -> list[Outputs | Exception]:
        if len(queue) == 1:
            return [self._run(queue[0])]
        encoded = [self._try_to_encode(inputs) for inputs in queue]
        good = [tensors for tensors in encoded if not isinstance(tensors, ServingError)]
        if not good:
            return [tensors for tensors in encoded if isinstance(tensors, ServingError)]
        whole = {name: np.concatenate([tensors[name] for tensors in good]) for name in good[0]}
        found = dict(zip(self._names, self._package.load().run(self._names, whole), strict=True))
        return self._split(found, queue, encoded)

    def _split(
        self, found: Outputs, queue: Sequence[Inputs], encoded: Sequence[Mapping[str, np.ndarray] | ServingError]
    ) -> list[Outputs | Exception]:
        parts: list[Outputs | Exception] = []
        start = 0
        for inputs, tensors in zip(queue, encoded, strict=True):
            if isinstance(tensors, ServingError):
                parts.append(tensors)
                continue
            part = {name: values[start : start + inputs.rows] for name, values in found.items()}
            start += inputs.rows
            try:
                parts.append(self._check(part, inputs.rows))
            except PredictionInvalidError as error:
                parts.append(error)
        return parts

    def _try_to_encode(self, inputs: Inputs) -> "Mapping[str, np.ndarray] | ServingError":
        try:
            return self._encode(inputs)
        except ServingError as error:
            return error

    def _encode(self, inputs: Inputs) -> dict[str, np.ndarray]:
        try:
            return self._package.encode(inputs.columns)
        except InputInvalidError as error:
            raise RequestInvalidError(str(error)) from None

    def _check(self, outputs: Outputs, rows: int) -> Outputs:
        for name, values in outputs.items():
            if values.shape != self._answers.shape(rows) or not is_finite(values):
                raise PredictionInvalidError(
                    f"the model answered {name} of shape {list(values.shape)} with {int((~np.isfinite(values)).sum())} "
                    f"values that are no number, for {rows} rows; this model is broken"
                )
        return outputs

    def _example(self, rows: int) -> Inputs:
        manifest = self._package.manifest
        if manifest.numeric and len(manifest.numeric) == len(manifest.inputs):
            names = tuple(item.name for item in manifest.inputs)
            return Inputs(Matrix(names, np.zeros((rows, len(names)), np.float32)), rows)
        return Inputs({item.name: _anything(item, rows) for item in manifest.inputs}, rows)

    def _time(self, rows: int) -> Outputs:
        tensors = self._encode(self._example(rows))
        return dict(zip(self._names, self._package.load().run(self._names, tensors), strict=True))


def is_finite(values: np.ndarray) -> bool:
    """Whether all values are numbers."""
    if values.size <= FEW:  # NumPy's ufuncs take longer to start than this takes to look
        return all(map(math.isfinite, values.ravel().tolist()))
    return bool(np.isfinite(values).all())


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _anything(item: ModelInput, rows: int) -> "Sequence[object] | np.ndarray":
    """A column that any model takes; one of another kind than ours may not know missing numbers."""
    if item.kind == "image":
        return np.zeros((rows, *item.shape), np.uint8)
    return [0.0 if item.kind == "numeric" else None] * rows


def workers() -> ThreadPoolExecutor:
    """The threads of a model: one for each core, and one for reading features meanwhile."""
    return ThreadPoolExecutor(max_workers=cores() + 1, thread_name_prefix="predict")

"""The served model, as kserve knows it: `preprocess` makes inputs, `predict` runs ONNX, `postprocess` logs and decides.

Small queries of tables are predicted on the event loop, where they take some tens of microseconds; large ones, images,
and all reading of features, go to threads, so that health checks are always answered.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np
from kserve.model import Model

from fairlead_serving.answers import Answers
from fairlead_serving.batching import QueryGatherer
from fairlead_serving.errors import PredictionInvalidError, RequestInvalidError, UnavailableError
from fairlead_serving.fields import Schema
from fairlead_serving.metrics import ServingMetrics, short
from fairlead_serving.package import InputInvalidError, ModelInput, ModelPackage
from fairlead_serving.pictures import remember
from fairlead_serving.prediction_log import JsonLinesLog
from fairlead_serving.query import Answer, Inputs, Query, Scored
from fairlead_serving.transformer import FeatureTransformer

T = TypeVar("T")
ROWS_ON_LOOP = 64
ROWS_AT_ONCE = 256
logger = logging.getLogger(__name__)


class FairleadModel(Model):  # type: ignore[misc] # kserve is untyped
    """A model package behind kserve's interface.

    Args:
        name: The name under which it is served.
        package: The package.
        metrics: The server's metrics.
        log: The prediction log, or None.

    Attributes:
        schema: The fields that requests must hold.
        ready: Whether it can predict; False until `finish_loading`.
    """

    def __init__(self, name: str, package: ModelPackage, metrics: ServingMetrics, log: JsonLinesLog | None) -> None:
        super().__init__(name)
        self.package, self.metrics, self.log = package, metrics, log
        self.version = short(package.digest)
        self.schema, self.answers = Schema.of_inputs(package.manifest), Answers(package.manifest)
        self._images = [item.name for item in package.manifest.images]
        self._rows_on_loop = 0 if self._images else ROWS_ON_LOOP
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="predict")
        self._transformer: FeatureTransformer | None = None
        self._gatherer: QueryGatherer | None = None

    def finish_loading(self, transformer: FeatureTransformer | None) -> None:
        """Loads the ONNX session, predicts once, and becomes ready.

        Args:
            transformer: What turns requests into inputs, or None where requests hold the inputs.

        Raises:
            PredictionInvalidError: The model's first prediction is no prediction.
        """
        self.package.load()
        if transformer is not None:
            self._transformer, self.schema = transformer, transformer.schema
            self._gatherer = QueryGatherer(transformer.transform, self._executor, ROWS_AT_ONCE)
        self._run(Inputs({item.name: _anything(item) for item in self.package.manifest.inputs}, 1))
        self.ready = True

    def load(self) -> bool:
        """Says whether it is loaded; `finish_loading` does the work, once."""
        return bool(self.ready)

    def start(self) -> None:
        """Leaves `ready` alone, which kserve's own `start` sets to True whatever the truth is."""

    async def preprocess(self, payload: Query, headers: Any = None) -> Scored:  # noqa: ARG002 - kserve's signature
        """Makes the inputs of a query.

        Raises:
            UnavailableError: The model is not loaded.
        """
        if not self.ready:
            raise UnavailableError(f"model {self.name!r} is being loaded; try again in some seconds")
        self._check_outputs(payload)
        return Scored(payload, await self._inputs(payload), {})

    async def predict(self, payload: Scored, headers: Any = None, response_headers: Any = None) -> Scored:  # noqa: ARG002
        """Runs the model on the inputs."""
        if payload.inputs.rows <= self._rows_on_loop:
            payload.outputs = self._run(payload.inputs)
        else:
            payload.outputs = await self._in_thread(partial(self._run_in_parts, payload.inputs))
        payload.seconds = time.perf_counter() - payload.query.started
        return payload

    async def postprocess(self, result: Scored, headers: Any = None, response_headers: Any = None) -> Answer:  # noqa: ARG002
        """Logs and counts the prediction, and adds the decision."""
        outputs = self.answers.decide(result.outputs)
        if result.inputs.rows <= self._rows_on_loop:
            self._record(result, outputs)
        else:
            await self._in_thread(partial(self._record, result, outputs))
        wanted = result.query.wanted
        return Answer(result.query, outputs if wanted is None else {name: outputs[name] for name in wanted})

    def _record(self, result: Scored, outputs: Mapping[str, np.ndarray]) -> None:
        """Logs and counts a prediction. Of images the log gets digests: they would fill its queue and the disk."""
        if self.log is not None:
            if self._images:
                digests = {name: remember(result.inputs.columns[name]) for name in self._images}
                result.inputs.columns = {**result.inputs.columns, **digests}
            self.log.offer(result, result.inputs.rows)
        classes = outputs[self.package.manifest.label].tolist() if self.package.manifest.classes else ()
        self.metrics.predictions(self.answers.observed(outputs).tolist(), classes)

    def get_input_types(self) -> list[dict[str, Any]]:
        """The fields of a request, as V2 model metadata."""
        return [{"name": name, "datatype": kind.datatype, "shape": [-1]} for name, kind in self.schema.fields.items()]

    def get_output_types(self) -> list[dict[str, Any]]:
        """The outputs, as V2 model metadata."""
        return self.answers.describe()

    async def _inputs(self, query: Query) -> Inputs:
        if self._gatherer is None or self._transformer is None:
            return Inputs(query.columns, query.rows)
        if query.rows <= ROWS_AT_ONCE:
            return await self._gatherer.submit(query)
        return await self._in_thread(partial(_transform_in_parts, self._transformer, query))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _run_in_parts(self, inputs: Inputs) -> dict[str, np.ndarray]:
        starts = range(0, inputs.rows, ROWS_AT_ONCE)
        parts = [self._run(inputs.slice(start, min(start + ROWS_AT_ONCE, inputs.rows))) for start in starts]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, inputs: Inputs) -> dict[str, np.ndarray]:
        try:
            outputs = self.package.predict(inputs.columns)
        except InputInvalidError as error:
            raise RequestInvalidError(str(error)) from None
        for name, values in outputs.items():
            if values.shape != self.answers.shape(inputs.rows) or not np.isfinite(values).all():
                raise PredictionInvalidError(
                    f"the model answered {name} of shape {list(values.shape)} with {int((~np.isfinite(values)).sum())} "
                    f"values that are no number, for {inputs.rows} rows; this model is broken"
                )
        return outputs

    def _check_outputs(self, query: Query) -> None:
        for name in query.wanted or ():
            if name not in self.answers.names:
                known = ", ".join(self.answers.names)
                raise RequestInvalidError(f"there is no output {name[:80]!r}; the model has {known}")


def _anything(item: ModelInput) -> Any:
    """A column of one row that any model takes; one of another kind than ours may not know missing numbers."""
    if item.kind == "image":
        return np.zeros((1, *item.shape), np.uint8)
    return [0.0] if item.kind == "numeric" else [None]


def _transform_in_parts(transformer: FeatureTransformer, query: Query) -> Inputs:
    """Transforms a large query in parts, between which small ones find the online store free."""
    parts = []
    for start in range(0, query.rows, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, query.rows)
        columns = {name: values[start:stop] for name, values in query.columns.items()}
        part = Query(query.protocol, query.request_id, columns, stop - start, received=query.received)
        result = transformer.transform([part])[0]
        if isinstance(result, Exception):
            raise result
        parts.append(result)
    return _concatenate(parts)


def _concatenate(parts: list[Inputs]) -> Inputs:
    columns = {name: [value for part in parts for value in part.columns[name]] for name in parts[0].columns}
    stale = [row for part in parts for row in (part.stale or [[]] * part.rows)]
    as_of = [moment for part in parts for moment in (part.as_of or ())]
    return Inputs(columns, sum(part.rows for part in parts), as_of, stale if any(stale) else None)

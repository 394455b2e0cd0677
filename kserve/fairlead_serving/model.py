"""The served model, as kserve knows it: `preprocess` makes inputs, `predict` runs ONNX, `postprocess` logs and decides.

What takes some tens of microseconds runs on the event loop, without a task or a future (`answer_now`); the rest queues
for threads (`__call__`), so that health checks are always answered.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from kserve.model import Model

from fairlead_serving.answers import Answers
from fairlead_serving.batching import QueryGatherer
from fairlead_serving.errors import DeadlinePassedError, RequestInvalidError, UnavailableError
from fairlead_serving.fields import Schema
from fairlead_serving.metrics import ServingMetrics, short
from fairlead_serving.package import ModelPackage
from fairlead_serving.pictures import remember
from fairlead_serving.prediction_log import JsonLinesLog
from fairlead_serving.query import Answer, Inputs, Query, Scored
from fairlead_serving.runner import Runner, workers
from fairlead_serving.transformer import FeatureTransformer

T = TypeVar("T")
ROWS_AT_ONCE = 256
logger = logging.getLogger(__name__)


class FairleadModel(Model):  # type: ignore[misc] # kserve is untyped
    """A model package behind kserve's interface.

    Args:
        name: The name under which it is served.
        package: The package.
        metrics: The model's metrics.
        log: The prediction log, or None.
        feedback: The feedback log, or None.

    Attributes:
        schema: The fields that requests must hold.
        ready: Whether it can predict; False until `finish_loading`.
        prompt_rows: Up to so many rows `answer_now` may answer; 0 where it may not.
        digest_header: The package's digest as the value of a header.
    """

    def __init__(
        self, name: str, package: ModelPackage, metrics: ServingMetrics, log: JsonLinesLog | None,
        feedback: JsonLinesLog | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name)
        self.package, self.metrics, self.log, self.feedback = package, metrics, log, feedback
        self.version, self.prompt_rows = short(package.digest), 0
        self.digest_header = package.digest.encode()
        self.schema, self.answers = Schema.of_inputs(package.manifest), Answers(package.manifest)
        self._images = [item.name for item in package.manifest.images]
        self._executor = workers()
        self._transformer: FeatureTransformer | None = None
        self._gatherer: QueryGatherer[Query, Inputs] | None = None
        self._runner: Runner | None = None

    def finish_loading(self, transformer: FeatureTransformer | None) -> None:
        """Loads the ONNX session, times it, and becomes ready.

        Args:
            transformer: What turns requests into inputs, or None where requests hold the inputs.

        Raises:
            PredictionInvalidError: The model's first prediction is no prediction.
        """
        self.package.load()
        if transformer is not None:
            self._transformer, self.schema = transformer, transformer.schema
            self._gatherer = QueryGatherer(transformer.transform, self._executor, ROWS_AT_ONCE)
        self._runner = Runner(self.package, self.answers, self._executor, self.metrics.batches)
        plan = self._runner.plan
        logger.info("model %s runs in mode %s", self.name, plan)
        self.metrics.running, self.metrics.waiting = (plan.mode, str(plan.rows)), self._count_waiting
        self.prompt_rows = 0 if transformer is not None else self._runner.rows_on_loop
        self.ready, self.metrics.ready = True, 1

    def load(self) -> bool:
        """Says whether it is loaded; `finish_loading` does the work, once."""
        return bool(self.ready)

    def start(self) -> None:
        """Leaves `ready` alone, which kserve's own `start` sets to True whatever the truth is."""

    def stop(self) -> None:
        """Stops being ready; what is in flight is finished by its own references to the threads."""
        self.ready, self.metrics.ready, self.prompt_rows = False, 0, 0

    def close(self) -> None:
        """Ends the threads, takes the metrics away and closes the logs, once nothing is in flight."""
        self._executor.shutdown(wait=False)
        self.metrics.retire()
        for log in (self.log, self.feedback):
            if log is not None:
                log.close()

    def answer_now(self, query: Query) -> Answer:
        """Answers at once, for a query of at most `prompt_rows` rows.

        Raises:
            ServingError: The query does not fit, or the model is broken.
        """
        self._check_outputs(query)
        query.featured = query.decoded
        outputs = self._running().run(inputs := Inputs(query.columns, query.rows))
        query.predicted = time.perf_counter()
        return self._finish(Scored(query, inputs, outputs, query.predicted - query.started))

    async def __call__(self, body: Query, headers: Any = None, verb: Any = None) -> tuple[Answer, dict[str, str]]:  # noqa: ARG002
        """Answers a query, which may queue for a thread; kserve's data plane calls this.

        Raises:
            ServingError: The query does not fit, what it needs is not available, or the model is broken.
        """
        scored = await self.predict(await self.preprocess(body))
        return await self.postprocess(scored), {}

    async def preprocess(self, payload: Query, headers: Any = None) -> Scored:  # noqa: ARG002 - kserve's signature
        """Makes the inputs of a query.

        Raises:
            UnavailableError: The model is not loaded.
            RequestInvalidError: The query asks for an output that there is not.
        """
        if not self.ready:
            raise UnavailableError(f"model {self.name!r} is being loaded; try again in some seconds")
        self._check_outputs(payload)
        scored = Scored(payload, await self._inputs(payload), {})
        payload.featured = time.perf_counter()
        return scored

    async def predict(self, payload: Scored, headers: Any = None, response_headers: Any = None) -> Scored:  # noqa: ARG002
        """Runs the model on the inputs."""
        runner, deadline = self._running(), payload.query.deadline
        if deadline is not None and deadline <= time.perf_counter():
            raise DeadlinePassedError("the deadline passed before the model could be asked")
        if payload.inputs.rows <= runner.rows_on_loop:
            payload.outputs = runner.run(payload.inputs)
        else:
            payload.outputs = await runner.submit(payload.inputs, deadline)
        payload.query.predicted = time.perf_counter()
        payload.seconds = payload.query.predicted - payload.query.started
        return payload

    async def postprocess(self, result: Scored, headers: Any = None, response_headers: Any = None) -> Answer:  # noqa: ARG002
        """Logs and counts the prediction, and adds the decision."""
        if self._images and self.log is not None:
            await self._in_thread(partial(self._digest_images, result))
        return self._finish(result)

    def _finish(self, scored: Scored) -> Answer:
        query, outputs = scored.query, self.answers.decide(scored.outputs)
        scored.outputs = outputs
        scored.outputs = outputs
        if self.log is not None:
            self.log.offer(scored, scored.inputs.rows)
        classes = outputs[self.package.manifest.label].tolist() if self.package.manifest.classes else ()
        self.metrics.predictions(self.answers.observed(outputs), classes)
        stages = self.metrics.stages
        stages["preprocess"].observe(query.featured - query.decoded)
        stages["predict"].observe(query.predicted - query.featured)
        stages["postprocess"].observe(time.perf_counter() - query.predicted)
        wanted = query.wanted
        return Answer(query, outputs if wanted is None else {name: outputs[name] for name in wanted})

    def _digest_images(self, result: Scored) -> None:
        """Of images the log gets digests: they would fill its queue and the disk."""
        digests = {name: remember(result.inputs.columns[name]) for name in self._images}
        result.inputs.columns = {**result.inputs.columns, **digests}

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
            return await self._gatherer.submit(query, query.deadline)
        return await self._in_thread(partial(_transform_in_parts, self._transformer, query))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _running(self) -> Runner:
        if self._runner is None:
            raise UnavailableError(f"model {self.name!r} is being loaded; try again in some seconds")
        return self._runner

    def _count_waiting(self) -> int:
        features = len(self._gatherer) if self._gatherer is not None else 0
        return features + (self._runner.waiting if self._runner is not None else 0)

    def _check_outputs(self, query: Query) -> None:
        for name in query.wanted or ():
            if name not in self.answers.names:
                known = ", ".join(self.answers.names)
                raise RequestInvalidError(f"there is no output {name[:80]!r}; the model has {known}")


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
    views = parts[0].times or {}
    times = {view: [moment for part in parts for moment in (part.times or {})[view]] for view in views}
    rows = sum(part.rows for part in parts)
    return Inputs(columns, rows, as_of, stale if any(stale) else None, times or None, parts[0].views)

"""`POST /v1/models/{name}:explain`: explanations of predictions, at the price that they state.

They run in one thread of their own, at a lower priority than predictions where the system knows such threads (Linux),
in runs of the model of at most 256 rows, so that a prediction never waits for an explanation. Four explanations may
wait; further ones are refused with 503.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import orjson

from fairlead_serving.errors import OverloadedError, TooLargeError
from fairlead_serving.explain import PackageExplainer
from fairlead_serving.log_lines import iso
from fairlead_serving.query import Inputs, Query
from fairlead_serving.shapley import Budget

if TYPE_CHECKING:
    from fairlead_serving.model import FairleadModel

MOST_ROWS = 8
MOST_WAITING = 4
NICENESS = 10


class Explainer:
    """Makes the explanations of one process.

    Args:
        budget: What one row may cost.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._executor = ThreadPoolExecutor(1, "explain", initializer=_step_back)
        self._waiting = 0
        self._packages: WeakKeyDictionary[FairleadModel, PackageExplainer] = WeakKeyDictionary()

    async def __call__(self, model: "FairleadModel", query: Query) -> bytes:
        """Explains each row of a query.

        Returns:
            {"explanations": [{output, prediction, base, contributions, standard_errors, method, background_rows,
            permutations, evaluations, milliseconds, features, event_times, stale}, …]}, in JSON.

        Raises:
            NotExplainableError: The model takes images, or its package has no reference sample.
            TooLargeError: There are too many rows.
            OverloadedError: Others wait already.
            ServingError: The query does not fit, or its features cannot be looked up.
        """
        if query.rows > MOST_ROWS:
            raise TooLargeError(f"{query.rows} rows; explain at most {MOST_ROWS} at a time")
        if self._waiting > MOST_WAITING:
            raise OverloadedError(f"{MOST_WAITING} explanations wait already; try again in some seconds")
        self._waiting += 1
        try:
            inputs = (await model.preprocess(query)).inputs
            started = time.perf_counter()
            content = await self._in_thread(partial(self._explain, model, inputs))
        finally:
            self._waiting -= 1
        model.metrics.stages["explain"].observe(time.perf_counter() - started)
        return content

    def close(self) -> None:
        """Ends the thread; what runs there is not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: partial[bytes]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _explain(self, model: "FairleadModel", inputs: Inputs) -> bytes:
        found = self._packages.get(model)
        if found is None:
            found = self._packages[model] = PackageExplainer(model.package)
        explanations = []
        for row in range(inputs.rows):
            one = inputs.slice(row, row + 1)
            answer = found.explain(one.columns, self._budget).to_json()
            explanations.append({**answer, **_used(one, [item.name for item in model.package.manifest.inputs])})
        return orjson.dumps({"explanations": explanations}, option=orjson.OPT_SERIALIZE_NUMPY)


def _used(one: Inputs, names: list[str]) -> Mapping[str, Any]:
    """The features as they were used: values, when they were observed, and which were not fresh."""
    features = {name: one.columns[name][0] for name in names}
    times = {view: moments[0] for view, moments in (one.times or {}).items()}
    seen = {name: iso(times[view]) for view, given in (one.views or {}).items() for name in given if times.get(view)}
    return {"features": features, "event_times": seen, "stale": list(one.stale[0]) if one.stale else []}


def _step_back() -> None:
    """Lowers the priority of this thread; elsewhere than on Linux a thread has none of its own."""
    with contextlib.suppress(OSError):
        if os.uname().sysname == "Linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)

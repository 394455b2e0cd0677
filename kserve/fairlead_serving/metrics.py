"""The server's Prometheus metrics.

    fairlead_requests_total{model, version, protocol, code}          answered requests; protocol v1, v2, grpc, feedback,
                                                                      explain; code is the HTTP status, also for gRPC
    fairlead_request_seconds{model, version, protocol}                histogram: from the request's head to its answer
    fairlead_requests_in_flight{model, version}                       gauge
    fairlead_queue{model, version}                                    gauge: queries that wait for the model
    fairlead_batch_rows{model, version}                               histogram: rows of one run of the model
    fairlead_model_ready{model, version}                              1 when the model answers, else 0
    fairlead_running_info{model, version, mode, rows}                 1: loop, thread or batch, as timed at load, and
                                                                      the most rows of one run
    fairlead_prediction{model, version}                               histogram of the probabilities (of several classes
                                                                      the highest), or of the numbers; its count is
                                                                      the number of rows predicted
    fairlead_predicted_class_total{model, version, class}             rows by the class that was decided
    fairlead_feature_lookups_total{model, version, view, outcome}     rows by outcome: fresh, stale, future, missing,
                                                                      unavailable (the store did not answer)
    fairlead_feature_missing_total{model, version, feature}           rows in which a looked-up feature was missing as
                                                                      the model saw it, for whatever reason
    fairlead_feature_age_seconds{model, version, view}                histogram: prediction time minus feature time
    fairlead_feature_lookup_seconds{model, version}                   histogram: one call of the online store
    fairlead_feedback_total{model, version, outcome}                  outcomes that were reported
    fairlead_log_rows_total{log, result}                              rows of the prediction and feedback logs:
                                                                      written, dropped
    fairlead_log_journals_total{log, result}                          journals that were to become Parquet: published,
                                                                      failed (and tried again)
    fairlead_spans_total{result}                                      spans of traces: sent, dropped, failed
    fairlead_other_requests_total{code}                               requests that are for no model
    fairlead_build_info{model, version, digest, fairlead, kserve}     1
    request_{preprocess,predict,postprocess,explain}_seconds{model_name}  kserve's names, with buckets that fit

`version` is the first 12 hexadecimal digits of the package's digest.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from functools import cache
from importlib import metadata

import numpy as np
from prometheus_client import CollectorRegistry

from fairlead_serving.families import SECONDS, STAGES, Families
from fairlead_serving.histogram import LeanHistogram

TWENTIETHS = tuple(step / 20 for step in range(1, 21))
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
NONE_WAIT: Callable[[], int] = int


class ServingMetrics:
    """The metrics of one served model. What has no lock of its own is called on the event loop's thread only.

    Args:
        registry: Where they are registered.
        model: The name under which the model is served.
        digest: The package's digest.
        buckets: Of the histogram of predictions.
        classes: Of a model of several classes; other outcomes count as `other`.

    Attributes:
        in_flight: Requests being answered.
        waiting: Says how many queries wait for the model.
        ready: 1 when it answers.
        running: How it runs: the mode, and the most rows of one run.
    """

    def __init__(
        self, registry: CollectorRegistry, model: str, digest: str, buckets: Iterable[float] = TWENTIETHS,
        classes: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self.registry, self.model, self.version = registry, model, short(digest)
        self.labels = [self.model, self.version]
        self.in_flight, self.waiting, self.ready = 0, NONE_WAIT, 0
        self.running: tuple[str, str] | None = None
        self.answered: dict[tuple[str, int], int] = {}
        self.seconds: dict[str, LeanHistogram] = {}
        self.values, self.batches = LeanHistogram(tuple(buckets)), LeanHistogram(ROWS)
        self.stages = {stage: LeanHistogram(SECONDS) for stage in STAGES}
        self.decided: dict[str, int] = dict.fromkeys(classes, 0)
        self._families = Families.of(registry)
        self._store = self._families["store"].labels(*self.labels)
        self._families["build"].labels(*self.labels, digest, _release("fairlead"), _release("kserve")).set(1)
        self._families.add(self)

    def retire(self) -> None:
        """Takes the model's numbers away, once it is unloaded."""
        self._families.remove(self)

    def request(self, protocol: str, code: int, seconds: float) -> None:
        """Counts one answered request."""
        key = (protocol, code)
        self.answered[key] = self.answered.get(key, 0) + 1
        histogram = self.seconds.get(protocol)
        if histogram is None:
            histogram = self.seconds[protocol] = LeanHistogram(SECONDS)
        histogram.observe(seconds)

    def predictions(self, values: np.ndarray, classes: Iterable[str] = ()) -> None:
        """Counts the predictions of a request: probabilities or numbers (N,), and the classes that were decided."""
        self.values.observe_many(values)
        for name, rows in Tally(classes).items() if self.decided else ():
            self.decided[name] += rows

    def lookups(self, view: str, outcomes: Tally[str], ages: Iterable[float]) -> None:
        """Counts what one view of the online store had for the rows of a request; from any thread.

        Args:
            view: The feature view.
            outcomes: Rows by outcome.
            ages: Ages in seconds of the rows that were found.
        """
        for outcome, rows in outcomes.items():
            self._families["lookups"].labels(*self.labels, view, outcome).inc(rows)
        histogram = self._families["ages"].labels(*self.labels, view)
        for age in ages:
            histogram.observe(age)

    def missing(self, feature: str, rows: int) -> None:
        """Counts rows in which the model saw a feature as missing; from any thread."""
        self._families["missing"].labels(*self.labels, feature).inc(rows)

    def lookup_seconds(self, seconds: float) -> None:
        """Records how long one call of the online store took; from any thread."""
        self._store.observe(seconds)

    def feedback(self, outcome: float | str) -> None:
        """Counts one reported outcome: 0 or 1, a class, or any number as `number`."""
        if self.decided:
            outcome = outcome if outcome in self.decided else "other"
        known = outcome if isinstance(outcome, int | str) else "number"
        self._families["feedback"].labels(*self.labels, str(known)).inc()

    def log_rows(self, log: str, result: str, rows: int) -> None:
        """Counts rows of a log (`predictions` or `feedback`) that were `written` or `dropped`; from any thread."""
        self._families.log.labels(log, result).inc(rows)

    def journals(self, log: str, result: str) -> None:
        """Counts journals of a log that were `published` as Parquet or `failed` to be; from any thread."""
        self._families.journals.labels(log, result).inc()


def short(digest: str) -> str:
    """The short form of a package's digest: its first 12 hexadecimal digits."""
    return digest.removeprefix("sha256:")[:12]


@cache
def _release(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # run from a copied folder
        return "unknown"

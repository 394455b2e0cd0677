"""The server's own Prometheus metrics, beside kserve's four histograms.

    fairlead_requests_total{model, version, protocol, code}          answered requests; protocol v1, v2, grpc, feedback;
                                                                      code is the HTTP status, also for gRPC
    fairlead_request_seconds{model, version, protocol}                histogram: from the request's head to its answer
    fairlead_requests_in_flight{model, version}                       gauge
    fairlead_prediction{model, version}                               histogram of the probabilities (of several classes
                                                                      the highest), or of the numbers; its count is
                                                                      the number of rows predicted
    fairlead_predicted_class_total{model, version, class}             rows by the class that was decided
    fairlead_feature_lookups_total{model, version, view, outcome}     rows by outcome: fresh, stale, future, missing
    fairlead_feature_age_seconds{model, version, view}                histogram: prediction time minus feature time
    fairlead_feature_lookup_seconds{model, version}                   histogram: one call of the online store
    fairlead_feedback_total{model, version, outcome}                  outcomes that were reported
    fairlead_log_rows_total{log, result}                              rows of the prediction and feedback logs:
                                                                      written, dropped
    fairlead_build_info{model, version, digest, fairlead, kserve}     1

`version` is the first 12 hexadecimal digits of the package's digest.
"""

from collections import Counter as Tally
from collections.abc import Iterable
from importlib import metadata

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

MILLISECONDS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000, 10000)
SECONDS = tuple(milliseconds / 1000 for milliseconds in MILLISECONDS)
TWENTIETHS = tuple(step / 20 for step in range(1, 21))
AGES = (60, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 2 * 86400, 3 * 86400, 7 * 86400, 14 * 86400, 30 * 86400)
MODEL = ("model", "version")


class ServingMetrics:
    """The metrics of one served model.

    Args:
        registry: Where they are registered.
        model: The name under which the model is served.
        digest: The package's digest.
        buckets: Of the histogram of predictions.
        classes: Of a model of several classes; other outcomes count as `other`.
    """

    def __init__(
        self, registry: CollectorRegistry, model: str, digest: str, buckets: Iterable[float] = TWENTIETHS,
        classes: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self.registry, self.model, self.version = registry, model, short(digest)
        self._requests = self._counter("requests", "Answered requests", ("protocol", "code"))
        self._seconds = self._histogram("request_seconds", "From head to answer", SECONDS, ("protocol",))
        self._prediction = self._histogram("prediction", "Predictions", buckets).labels(model, self.version)
        decided = self._counter("predicted_class", "Rows by decision", ("class",)) if classes else None
        self._classes = {name: decided.labels(model, self.version, name) for name in classes} if decided else {}
        self._lookups = self._counter("feature_lookups", "Rows by view and outcome", ("view", "outcome"))
        self._ages = self._histogram("feature_age_seconds", "Prediction time minus feature time", AGES, ("view",))
        self._store = self._histogram("feature_lookup_seconds", "One online read", SECONDS).labels(model, self.version)
        self._feedback = self._counter("feedback", "Reported outcomes", ("outcome",))
        self._log = Counter("fairlead_log_rows", "Rows of the logs", ("log", "result"), registry=registry)
        gauge = Gauge("fairlead_requests_in_flight", "Requests being answered", MODEL, registry=registry)
        self.in_flight = gauge.labels(model, self.version)
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._inform(digest)

    def request(self, protocol: str, code: int, seconds: float) -> None:
        """Counts one answered request."""
        child = self._children.get((protocol, code))
        if child is None:  # looking children up by label takes as long as parsing a request
            labels = (self.model, self.version, protocol)
            child = (self._requests.labels(*labels, str(code)), self._seconds.labels(*labels))
            self._children[protocol, code] = child
        child[0].inc()
        child[1].observe(seconds)

    def predictions(self, values: Iterable[float], classes: Iterable[str] = ()) -> None:
        """Counts the predictions of a request: probabilities or numbers, and the classes that were decided."""
        for value in values:
            self._prediction.observe(value)
        for name, rows in Tally(classes).items() if self._classes else ():
            self._classes[name].inc(rows)

    def lookups(self, view: str, outcomes: Tally[str], ages: Iterable[float]) -> None:
        """Counts what one view of the online store had for the rows of a request.

        Args:
            view: The feature view.
            outcomes: Rows by outcome.
            ages: Ages in seconds of the rows that were found.
        """
        for outcome, rows in outcomes.items():
            self._lookups.labels(self.model, self.version, view, outcome).inc(rows)
        histogram = self._ages.labels(self.model, self.version, view)
        for age in ages:
            histogram.observe(age)

    def lookup_seconds(self, seconds: float) -> None:
        """Records how long one call of the online store took."""
        self._store.observe(seconds)

    def feedback(self, outcome: float | str) -> None:
        """Counts one reported outcome: 0 or 1, a class, or any number as `number`."""
        if self._classes:
            outcome = outcome if outcome in self._classes else "other"
        known = outcome if isinstance(outcome, int | str) else "number"
        self._feedback.labels(self.model, self.version, str(known)).inc()

    def log_rows(self, log: str, result: str, rows: int) -> None:
        """Counts rows of a log (`predictions` or `feedback`) that were `written` or `dropped`."""
        self._log.labels(log, result).inc(rows)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"fairlead_{name}", text, (*MODEL, *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Iterable[float], labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(f"fairlead_{name}", text, (*MODEL, *labels), buckets=tuple(buckets), registry=self.registry)

    def _inform(self, digest: str) -> None:
        labels = (*MODEL, "digest", "fairlead", "kserve")
        info = Gauge("fairlead_build_info", "What is served by what", labels, registry=self.registry)
        info.labels(self.model, self.version, digest, _release("fairlead"), _release("kserve")).set(1)


def short(digest: str) -> str:
    """The short form of a package's digest: its first 12 hexadecimal digits."""
    return digest.removeprefix("sha256:")[:12]


def _release(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # run from a copied folder
        return "unknown"

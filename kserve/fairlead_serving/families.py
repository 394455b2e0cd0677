"""The metric families of one process, shared by its models, and the collector of what the event loop counts.

Two kinds: what any thread may count (logs, features, feedback) are prometheus_client's own; what each request counts
on the event loop are plain numbers that are shown when they are scraped.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from fairlead_serving.metrics import ServingMetrics

MODEL = ("model", "version")
STAGES = ("preprocess", "predict", "postprocess", "explain")
MILLISECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000, 10000)
SECONDS = tuple(milliseconds / 1000 for milliseconds in MILLISECONDS)
STORE_SECONDS = SECONDS[3:]
AGES = (60, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 2 * 86400, 3 * 86400, 7 * 86400, 14 * 86400, 30 * 86400)
KSERVE_NAMES = {stage: f"request_{stage}_seconds" for stage in STAGES}


class Families(Collector):
    """The families of a registry.

    Args:
        registry: Where they are registered, once.
    """

    _known: ClassVar["WeakKeyDictionary[CollectorRegistry, Families]"] = WeakKeyDictionary()

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models: list[ServingMetrics] = []
        self._lasting: dict[str, Any] = {
            "lookups": _counter(registry, "feature_lookups", "Rows by view and outcome", "view", "outcome"),
            "ages": _histogram(registry, "feature_age_seconds", "Prediction time minus feature time", AGES, "view"),
            "missing": _counter(registry, "feature_missing", "Rows whose feature was missing", "feature"),
            "store": _histogram(registry, "feature_lookup_seconds", "One online read", STORE_SECONDS),
            "feedback": _counter(registry, "feedback", "Reported outcomes", "outcome"),
            "build": _gauge(registry, "build_info", "What is served by what", "digest", "fairlead", "kserve"),
        }
        self.log = Counter("fairlead_log_rows", "Rows of the logs", ("log", "result"), registry=registry)
        self.journals = Counter("fairlead_log_journals", "Journals to Parquet", ("log", "result"), registry=registry)
        self.other = Counter("fairlead_other_requests", "Requests for no model", ("code",), registry=registry)
        self.spans = Counter("fairlead_spans", "Spans of traces", ("result",), registry=registry)
        _replace_kserves(registry)
        registry.register(self)

    @classmethod
    def of(cls, registry: CollectorRegistry) -> "Families":
        """The registry's families, made at the first call."""
        if registry not in cls._known:
            cls._known[registry] = cls(registry)
        return cls._known[registry]

    def __getitem__(self, name: str) -> Any:
        """A family that any thread may count in."""
        return self._lasting[name]

    def count_rows(self, log: str, result: str, rows: int) -> None:
        """Counts rows of a log (`predictions` or `feedback`) that were `written` or `dropped`; from any thread."""
        self.log.labels(log, result).inc(rows)

    def count_journal(self, log: str, result: str) -> None:
        """Counts a journal of a log that was `published` as Parquet or `failed` to be; from any thread."""
        self.journals.labels(log, result).inc()

    def add(self, model: "ServingMetrics") -> None:
        """Shows a model's numbers from now on."""
        self._models.append(model)

    def remove(self, model: "ServingMetrics") -> None:
        """Forgets an unloaded model, so that loading for years does not fill the memory with names."""
        self._models.remove(model)
        if any((other.model, other.version) == (model.model, model.version) for other in self._models):
            return
        for family in self._lasting.values():
            with suppress(KeyError):
                family.remove_by_labels({"model": model.model, "version": model.version})

    def describe(self) -> Iterable[Metric]:
        """Names nothing at registration: the families are known by their prefix."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Shows what the models have counted."""
        models = list(self._models)
        yield from _requests(models)
        yield from _predictions(models)
        yield from _states(models)
        for stage in STAGES:
            family = HistogramMetricFamily(KSERVE_NAMES[stage], f"{stage} request latency", labels=["model_name"])
            for model in models:
                histogram = model.stages[stage]
                family.add_metric([model.model], histogram.buckets(), histogram.total)
            yield family


def _requests(models: Iterable["ServingMetrics"]) -> Iterator[Metric]:
    answered = CounterMetricFamily("fairlead_requests", "Answered requests", labels=[*MODEL, "protocol", "code"])
    seconds = HistogramMetricFamily("fairlead_request_seconds", "From head to answer", labels=[*MODEL, "protocol"])
    for model in models:
        for (protocol, code), count in model.answered.items():
            answered.add_metric([*model.labels, protocol, str(code)], count)
        for protocol, histogram in model.seconds.items():
            seconds.add_metric([*model.labels, protocol], histogram.buckets(), histogram.total)
    yield answered
    yield seconds


def _predictions(models: Iterable["ServingMetrics"]) -> Iterator[Metric]:
    values = HistogramMetricFamily("fairlead_prediction", "Predictions", labels=MODEL)
    sizes = HistogramMetricFamily("fairlead_batch_rows", "Rows of one run of the model", labels=MODEL)
    decided = CounterMetricFamily("fairlead_predicted_class", "Rows by decision", labels=[*MODEL, "class"])
    for model in models:
        values.add_metric(model.labels, model.values.buckets(), model.values.total)
        sizes.add_metric(model.labels, model.batches.buckets(), model.batches.total)
        for name, rows in model.decided.items():
            decided.add_metric([*model.labels, name], rows)
    yield values
    yield sizes
    yield decided


def _states(models: Iterable["ServingMetrics"]) -> Iterator[Metric]:
    flight = GaugeMetricFamily("fairlead_requests_in_flight", "Requests being answered", labels=MODEL)
    queue = GaugeMetricFamily("fairlead_queue", "Queries that wait for the model", labels=MODEL)
    ready = GaugeMetricFamily("fairlead_model_ready", "1 when the model answers", labels=MODEL)
    running = GaugeMetricFamily("fairlead_running_info", "How the model runs", labels=[*MODEL, "mode", "rows"])
    for model in models:
        flight.add_metric(model.labels, model.in_flight)
        queue.add_metric(model.labels, model.waiting())
        ready.add_metric(model.labels, model.ready)
        if model.running:
            running.add_metric([*model.labels, *model.running], 1)
    yield from (flight, queue, ready, running)


def _replace_kserves(registry: CollectorRegistry) -> None:
    """Takes kserve's four histograms out of the registry; this collector shows the same names."""
    from kserve import metrics  # type: ignore[attr-defined] # the folder of that name is meant by mypy

    for stage in ("PRE", "PREDICT", "POST", "EXPLAIN"):
        with suppress(KeyError):
            registry.unregister(getattr(metrics, f"{stage}_HIST_TIME"))


def _counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Counter:
    return Counter(f"fairlead_{name}", text, (*MODEL, *labels), registry=registry)


def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"fairlead_{name}", text, (*MODEL, *labels), registry=registry)


def _histogram(registry: CollectorRegistry, name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
    return Histogram(f"fairlead_{name}", text, (*MODEL, *labels), buckets=tuple(buckets), registry=registry)

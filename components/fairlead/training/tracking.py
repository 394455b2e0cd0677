"""A training as a run in MLflow: parameters, metrics of each step and epoch, system metrics, artifacts.

It runs in the companion process, so neither MLflow's import nor a slow server slows training.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import atomic
from fairlead.registry.mlflow_client import is_server, reading, writing
from fairlead.training.engine import trace

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTE = "tracking.json"
_BATCH = 1000  # metrics in one request: MLflow's limit
_PARAMETERS = 100  # in one request: MLflow's limit
_LONGEST = 500  # characters of a parameter's value
_STEPS_IN_A_FLUSH = 500  # more are thinned out evenly
_SYSTEM_SECONDS = 5.0


@dataclass(frozen=True)
class Tracked:
    """What a run is about.

    Attributes:
        uri: MLflow's address.
        home: The folder of all local state: where artifacts lie if no server keeps them.
        experiment: The experiment's name.
        name: The run's name.
        parameters: Hyperparameters and the like.
        tags: Digests, revision.
    """

    uri: str
    home: str
    experiment: str
    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class TrackingRun:
    """One run in MLflow; an attempt after a kill goes on with the run of the attempt before."""

    def __init__(self, tracked: Tracked, work: Path) -> None:
        """Opens the run.

        Raises:
            StateError: MLflow or its database refuses, or is out of reach.
        """
        self.tracked, self.work, self.offset = tracked, work, 0
        self.run_id, self.step = self._note()
        self._prepare()
        with reading(tracked.uri) as client:
            if not self.run_id:
                self.run_id = self._start(client)
            else:
                client.update_run(self.run_id, status="RUNNING")
        self._keep_note()
        self.monitor = self._watch_system()

    def _note(self) -> tuple[str, int]:
        path = self.work / NOTE
        if not path.is_file():
            return "", 0
        content = json.loads(path.read_text())
        return content["run_id"], content["step"]

    def _keep_note(self) -> None:
        atomic.write_json(self.work / NOTE, {"run_id": self.run_id, "step": self.step})

    def _prepare(self) -> None:
        """Has an SQLite file made whole, as the registry does, whose file it may be."""
        if not is_server(self.tracked.uri):
            with writing(self.tracked.uri, Path(self.tracked.home)):
                pass

    def _start(self, client: "MlflowClient") -> str:
        known = client.get_experiment_by_name(self.tracked.experiment)
        experiment = known.experiment_id if known else self._make_experiment(client)
        tags = {**self.tracked.tags, "mlflow.source.name": "fairlead train_model", "mlflow.source.type": "JOB"}
        run = client.create_run(experiment, tags=tags, run_name=self.tracked.name)
        self._log_parameters(client, run.info.run_id)
        return str(run.info.run_id)

    def _make_experiment(self, client: "MlflowClient") -> str:
        from mlflow.exceptions import MlflowException

        folder = Path(self.tracked.home) / "tracking" / self.tracked.experiment
        place = None if is_server(self.tracked.uri) else folder.as_uri()
        try:
            return str(client.create_experiment(self.tracked.experiment, artifact_location=place))
        except MlflowException:  # another training has just made it
            known = client.get_experiment_by_name(self.tracked.experiment)
            if known is None:
                raise
            return str(known.experiment_id)

    def _log_parameters(self, client: "MlflowClient", run_id: str) -> None:
        from mlflow.entities import Param

        texts = {name: str(value)[:_LONGEST] for name, value in self.tracked.parameters.items()}
        parameters = [Param(name, text) for name, text in texts.items()]
        for start in range(0, len(parameters), _PARAMETERS):
            client.log_batch(run_id, params=parameters[start : start + _PARAMETERS])

    def _watch_system(self) -> Any:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        make: Any = SystemMetricsMonitor  # mlflow is untyped
        monitor = make(
            self.run_id, sampling_interval=_SYSTEM_SECONDS, resume_logging=self.step > 0, tracking_uri=self.tracked.uri
        )
        monitor.collect_metrics()
        monitor.publish_metrics(monitor.aggregate_metrics())  # at once: a training may end before the first interval
        monitor.start()
        return monitor

    def flush(self) -> None:
        """Sends what the trace says since the last time.

        Raises:
            StateError: As above.
        """
        lines = self._new_lines()
        if lines:
            with reading(self.tracked.uri) as client:
                self._log(client, _metrics(thin(lines)))
            self.step = max(line["step"] for line in lines)
            self._keep_note()

    def _new_lines(self) -> list[dict[str, Any]]:
        path = self.work / trace.FILE
        size = path.stat().st_size if path.is_file() else 0
        if size < self.offset:  # cut, because training goes on from an earlier step
            self.offset = 0
        if size == self.offset:
            return []
        with path.open("rb") as file:
            file.seek(self.offset)
            content = file.read()
        content = content[: content.rfind(b"\n") + 1]
        self.offset += len(content)
        lines = [json.loads(line) for line in content.splitlines()]
        return [line for line in lines if line["step"] > self.step]

    def _log(self, client: "MlflowClient", metrics: Sequence[tuple[str, float, float, int]]) -> None:
        from mlflow.entities import Metric

        entities = [Metric(name, value, int(moment * 1000), step) for name, value, moment, step in metrics]
        for start in range(0, len(entities), _BATCH):
            client.log_batch(self.run_id, metrics=entities[start : start + _BATCH])

    def finish(self, status: str, final: Mapping[str, Any]) -> None:
        """Sends the rest and ends the run.

        Args:
            status: FINISHED, FAILED or KILLED.
            final: `metrics` by name; `curve`, the epochs, sent where nothing was traced; `tags`; `artifacts`, paths.

        Raises:
            StateError: As above.
        """
        self.flush()
        self.monitor.finish()
        with reading(self.tracked.uri) as client:
            now = time.time()
            curve = final.get("curve", []) if not self.step else []
            lines = [{"step": epoch["epoch"], "time": now, **epoch} for epoch in curve]
            figures = [(name, value, now, self.step) for name, value in final.get("metrics", {}).items()]
            self._log(client, [*_metrics(lines), *figures])
            for name, value in final.get("tags", {}).items():
                client.set_tag(self.run_id, name, value)
            for path in final.get("artifacts", []):
                client.log_artifact(self.run_id, path)
            client.set_terminated(self.run_id, status)


def thin(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keeps all epochs, and evenly so many steps as a tracking server takes without pain."""
    steps = sum("epoch" not in line for line in lines)
    stride = -(-steps // _STEPS_IN_A_FLUSH) if steps else 1
    seen, kept = 0, []
    for line in lines:
        seen += "epoch" not in line
        if "epoch" in line or seen % stride == 0:
            kept.append(line)
    return kept


def _metrics(lines: Iterable[Mapping[str, Any]]) -> list[tuple[str, float, float, int]]:
    """Name, value, time and step of each figure."""
    return [
        (name, float(value), line["time"], int(line["step"]))
        for line in lines
        for name, value in line.items()
        if name not in {"step", "time"}
    ]

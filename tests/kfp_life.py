"""A run's life on a stand-in for Kubeflow Pipelines: nodes as Argo makes them, and what ML Metadata then holds."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import json_format

from fairlead_pipelines.kfp_server.metadata_store import CACHED, OUTPUT, messages

ROOT = "minio://mlpipeline/v2/artifacts"
_COMPLETE, _FAILED = 3, 4


@dataclass
class Plan:
    """How runs go.

    Attributes:
        fails: The task that fails, and its log.
        cached: Tasks whose outputs are taken from an earlier run.
        outputs: By task: `parameters`, and `artifacts` by name as (content or None, metadata).
        pods_gone: The pods' logs are there no longer, only what the launcher kept.
        steps_a_look: How many tasks go on between two looks.
        stays: The run never ends.
    """

    fails: dict[str, str] = field(default_factory=dict)
    cached: set[str] = field(default_factory=set)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods_gone: bool = False
    steps_a_look: int = 1
    stays: bool = False


@dataclass
class Life:
    """One run's life: each look lets it go on."""

    run: dict[str, Any]
    content: dict[str, Any]
    plan: Plan
    done: list[str] = field(default_factory=list)
    failed: str = ""
    looks: int = 0
    began: datetime = field(init=False)

    def __post_init__(self) -> None:
        """A run began when the server was told of it."""
        told = self.run.get("created_at")
        self.began = datetime.fromisoformat(told) if told else datetime.now(UTC)

    @property
    def order(self) -> list[str]:
        """The tasks, those first on which others wait."""
        tasks = self.content["root"]["dag"]["tasks"]
        left, ordered = dict(tasks), []
        while left:
            ready = sorted(n for n, t in left.items() if not set(t.get("dependentTasks", [])) & set(left))
            ordered += ready
            left = {name: task for name, task in left.items() if name not in ready}
        return ordered

    def look(self) -> None:
        """Lets the run go on a little: the first look finds it waiting, the second finds the root's driver."""
        self.looks += 1
        if self.looks == 1 or self.run["state"] in {"SUCCEEDED", "FAILED"}:
            return
        self.run["state"] = "RUNNING"
        if self.looks > 2 and not self.plan.stays:
            self._go_on()
        self.run["run_details"] = {"task_details": self._details()}
        ended = self.failed or len(self.done) == len(self.order)
        if ended:
            self.run["state"] = "FAILED" if self.failed else "SUCCEEDED"
            self.run["finished_at"] = self._at(60)
            self.run["state_history"] = [
                {"update_time": self._at(0), "state": "PENDING"},
                {"update_time": self._at(60), "state": self.run["state"]},
            ]

    def _go_on(self) -> None:
        for task in [task for task in self.order if task not in self.done][: self.plan.steps_a_look]:
            if task in self.plan.fails:
                self.failed = task
                return
            self.done.append(task)

    def _details(self) -> list[dict[str, Any]]:
        nodes = [self._node("root-driver", "SUCCEEDED"), self._node("root", "RUNNING")]
        for number, task in enumerate(self.done):
            nodes += [self._node(f"{task}-driver", "SUCCEEDED", number), self._node(task, "SUCCEEDED", number)]
            nodes.append(self._node("executor", "SKIPPED" if task in self.plan.cached else "SUCCEEDED", number))
        later = [task for task in self.order if task not in self.done]
        if self.failed:
            number = len(self.done)
            nodes += [
                self._node(f"{self.failed}-driver", "SUCCEEDED", number),
                self._node(self.failed, "FAILED", number),
            ]
        elif later:
            nodes.append(self._node(f"{later[0]}-driver", "RUNNING", len(self.done)))
        return sorted(nodes, key=lambda node: str(node["task_id"]))

    def _node(self, name: str, state: str, number: int = 0) -> dict[str, Any]:
        ended = state in {"SUCCEEDED", "FAILED", "SKIPPED"}
        return {
            "run_id": self.run["run_id"], "task_id": f"{name}-{number}", "display_name": name, "state": state,
            "create_time": self._at(0), "start_time": self._at(number), "execution_id": "0",
            "end_time": self._at(number + 1) if ended else "1970-01-01T00:00:00Z",
            "child_tasks": [{"pod_name": f"flow-{abs(hash(name)) % 10**9}"}],
        }  # fmt: skip

    def _at(self, seconds: float) -> str:
        return (self.began + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def pod(self, task: str) -> str:
        """The pod of a task's container."""
        return f"flow-system-container-impl-{self.order.index(task)}"

    def kinds(self, task: str) -> list[str]:
        """The names of a task's artifact outputs."""
        reference = self.content["root"]["dag"]["tasks"][task]["componentRef"]["name"]
        return sorted(self.content["components"][reference].get("outputDefinitions", {}).get("artifacts", {}))

    def uri(self, task: str, name: str) -> str:
        """Where an artifact lies."""
        pipeline = self.content["pipelineInfo"]["name"]
        return f"{ROOT}/{pipeline}/{self.run['run_id']}/{task}/5f0c/{name}"

    def objects(self) -> dict[str, bytes]:
        """The contents of what was uploaded, by URI."""
        found = {}
        for task in self.done:
            for name, (content, _) in self.plan.outputs.get(task, {}).get("artifacts", {}).items():
                if content is not None:
                    found[self.uri(task, name)] = content
        if self.failed:
            found[self.uri(self.failed, "executor-logs")] = self.plan.fails[self.failed].encode()
        return found

    def metadata(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Executions, artifacts and events, as ML Metadata holds them."""
        made = messages()
        executions = [made["Execution"](id=1, type="system.DAGExecution", last_known_state=_COMPLETE)]
        artifacts: list[Any] = []
        events: list[Any] = []
        for number, task in enumerate([*self.done, *([self.failed] if self.failed else [])], start=2):
            state = CACHED if task in self.plan.cached else _FAILED if task == self.failed else _COMPLETE
            execution = made["Execution"](id=number, type="system.ContainerExecution", last_known_state=state)
            execution.custom_properties["task_name"].string_value = task
            execution.custom_properties["display_name"].string_value = task
            execution.custom_properties["pod_name"].string_value = self.pod(task)
            planned = self.plan.outputs.get(task, {})
            json_format.ParseDict(planned.get("parameters", {}), execution.custom_properties["outputs"].struct_value)
            executions.append(execution)
            names = [] if task == self.failed else self.kinds(task)
            for name in [*names, "executor-logs"]:
                artifact = made["Artifact"](id=1000 + len(artifacts), uri=self.uri(task, name))
                artifact.custom_properties["display_name"].string_value = name
                for key, value in planned.get("artifacts", {}).get(name, (None, {}))[1].items():
                    kind = (
                        "double_value"
                        if isinstance(value, int | float) and not isinstance(value, bool)
                        else "string_value"
                    )
                    setattr(artifact.custom_properties[key], kind, value)
                artifacts.append(artifact)
                event = made["Event"](artifact_id=artifact.id, execution_id=number, type=OUTPUT)
                event.path.steps.add(key=name)
                event.path.steps.add(index=0)
                events.append(event)
        return executions, artifacts, events

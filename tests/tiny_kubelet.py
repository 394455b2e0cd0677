"""Runs Jobs as processes of this machine: the kubelet and the Job controller of tiny_kubernetes.

A container is its command with its environment; each mount of an emptyDir is a folder of the pod, which takes the
mount's path in commands and in the environment. An image whose name holds `missing` is never pulled. A service account
that the namespace lacks (`refused-by-webhook`) makes no pod, and a Job ends at its deadline whatever happens.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]
_JOBS, _PODS, _EVENTS = "/apis/batch/v1/jobs", "/api/v1/pods", "/api/v1/events"


def moment() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Running:
    """A Job's pod."""

    folder: Path
    began: float
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    pod: str = ""


class Kubelet:
    """Runs what Jobs ask for, in a thread."""

    def __init__(self, store: Any, folder: Path, environment: dict[str, str]) -> None:
        """Prepares; `environment` is added to every container's."""
        self.store, self.folder, self.environment = store, folder, environment
        self.running: dict[tuple[str, str], Running] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and every process."""
        self._stopping.set()
        self._thread.join(20)
        for running in self.running.values():
            self._kill(running)

    def log(self, pod: Manifest, container: str, lines: int) -> str:
        """The last lines of a container."""
        name = container or pod["spec"]["containers"][0]["name"]
        path = self.folder / pod["metadata"]["name"] / f"{name}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "".join(text.splitlines(keepends=True)[-lines:])

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            with self.store.lock:
                self.store.collect_garbage()
                for (root, space, name), job in list(self.store.objects.items()):
                    if root == _JOBS:
                        self._job(space, name, job)
                for key, running in list(self.running.items()):
                    if (_JOBS, *key) not in self.store.objects:
                        self._kill(running)
                        del self.running[key]

    def _job(self, space: str, name: str, job: Manifest) -> None:
        if any(c["status"] == "True" for c in (job.get("status") or {}).get("conditions") or []):
            return
        running = self.running.get((space, name))
        if running is None:
            self._begin(space, name, job)
            return
        deadline = job["spec"].get("activeDeadlineSeconds")
        if deadline and time.monotonic() - running.began > deadline:
            self._kill(running)
            self._end(job, running, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
            return
        codes = [process.poll() for process in running.processes.values()]
        if running.processes and all(code is not None for code in codes):
            if any(codes):
                reason = "Job has reached the specified backoff limit"
                self._end(job, running, "Failed", "BackoffLimitExceeded", reason)
            else:
                self._end(job, running, "Complete", "CompletionsReached", "Reached expected number of succeeded pods")

    def _begin(self, space: str, name: str, job: Manifest) -> None:
        pod_name = f"{name}-{os.urandom(3).hex()[:5]}"
        running = self.running[(space, name)] = Running(self.folder / pod_name, time.monotonic(), pod=pod_name)
        spec = job["spec"]["template"]["spec"]
        if spec.get("serviceAccountName") == "refused-by-webhook":
            return
        labels = {**job["spec"]["template"].get("metadata", {}).get("labels", {}), "batch.kubernetes.io/job-name": name}
        owner = {"kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
        meta = {"name": pod_name, "labels": labels, "ownerReferences": [owner]}
        self._event(space, "Job", name, "SuccessfulCreate", f"Created pod: {pod_name}")
        self.store.create(_PODS, space, {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": spec})
        self.store.touch(merge_status(job, {"active": 1, "startTime": moment()}))
        if any("missing" in container["image"] for container in spec["containers"]):
            self._miss(space, pod_name, spec)
            return
        running.folder.mkdir(parents=True)
        for container in spec["containers"]:
            running.processes[container["name"]] = self._start(container, running.folder, spec)

    def _miss(self, space: str, pod_name: str, spec: Manifest) -> None:
        image = spec["containers"][0]["image"]
        text = f'Failed to pull image "{image}": not found'
        waiting = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}
        states = [{"name": c["name"], "state": {"waiting": waiting}} for c in spec["containers"]]
        self.store.touch(
            merge_status(self.store.get((_PODS, space, pod_name)), {"phase": "Pending", "containerStatuses": states})
        )
        self._event(space, "Pod", pod_name, "Failed", text)

    def _event(self, space: str, kind: str, name: str, reason: str, text: str) -> None:
        about = {"kind": kind, "name": name}
        meta = {"name": f"{name}.{len(self.store.objects)}.{time.monotonic_ns()}"}
        event = {"kind": "Event", "apiVersion": "v1", "metadata": meta, "involvedObject": about}
        self.store.create(_EVENTS, space, {**event, "reason": reason, "message": text, "lastTimestamp": moment()})

    def _start(self, container: Manifest, folder: Path, pod: Manifest) -> "subprocess.Popen[bytes]":
        volumes = {volume["name"] for volume in pod.get("volumes", []) if "emptyDir" in volume}
        mounts = {m["mountPath"]: folder / m["name"] for m in container.get("volumeMounts", []) if m["name"] in volumes}
        for place in mounts.values():
            place.mkdir(exist_ok=True)

        def placed(text: str) -> str:
            for path, place in mounts.items():
                text = re.sub(rf"(?<![\w/]){re.escape(path)}(?=/\.?fairlead|/metrics|/\$|\"|$)", str(place), text)
            return text.replace("$$", "$")

        own = {e["name"]: placed(e["value"]) for e in container.get("env", []) if "value" in e}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        words = [placed(word) for word in [*container["command"], *container.get("args", [])]]
        with (folder / f"{container['name']}.log").open("wb") as log:
            return subprocess.Popen(
                words, env={"PATH": path, **self.environment, **own}, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, cwd=folder,
            )  # fmt: skip

    def _end(self, job: Manifest, running: Running, kind: str, reason: str, message: str) -> None:
        condition = {"type": kind, "status": "True", "reason": reason, "message": message}
        self.store.touch(merge_status(job, {"conditions": [condition], "active": 0}))
        key = (_PODS, job["metadata"]["namespace"], running.pod)
        if key in self.store.objects:
            states = [
                {"name": name, "state": {"terminated": {"exitCode": process.poll() or 0}}}
                for name, process in running.processes.items()
            ]
            self.store.touch(merge_status(self.store.objects[key], {"containerStatuses": states}))

    @staticmethod
    def _kill(running: Running) -> None:
        for process in running.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)
        shutil.rmtree(running.folder, ignore_errors=True)


def merge_status(thing: Manifest, change: Mapping[str, Any]) -> Manifest:
    """Sets keys of an object's status."""
    thing["status"] = {**(thing.get("status") or {}), **change}
    return thing

"""The objects that the test controller of Katib writes, as the real one writes them; see katib_controller."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.platform.kubeflow.api import Manifest

COLLECTOR = "metrics-logger-and-collector"
LOG = "/var/log/katib/metrics.log"
ENDS = ("Succeeded", "Failed", "EarlyStopped", "MetricsUnavailable")
COUNTS = {
    "Succeeded": ("trialsSucceeded", "succeededTrialList"),
    "Failed": ("trialsFailed", "failedTrialList"),
    "EarlyStopped": ("trialsEarlyStopped", "earlyStoppedTrialList"),
    "MetricsUnavailable": ("trialMetricsUnavailable", "metricsUnavailableTrialList"),
    "Running": ("trialsRunning", "runningTrialList"),
    "Created": ("trialsPending", "pendingTrialList"),
}
FILTER = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)", re.ASCII)
SOURCE = Path(__file__).parent / "katib" / "collector.py"


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, reason: str, message: str, *, true: bool = True) -> dict[str, str]:
    """One condition."""
    return {
        "type": kind, "status": "True" if true else "False", "reason": reason, "message": message,
        "lastUpdateTime": now(), "lastTransitionTime": now(),
    }  # fmt: skip


def newest(thing: Mapping[str, Any]) -> str:
    """The newest condition that is true."""
    true = [c["type"] for c in (thing.get("status") or {}).get("conditions") or [] if c["status"] == "True"]
    return true[-1] if true else ""


def fill(template: Manifest, values: Mapping[str, str], name: str, namespace: str) -> Manifest:
    """The Job with all placeholders filled in, as text; JSON again only if the values allow it."""
    text = json.dumps(template["trialSpec"])
    meta = {"${trialSpec.Name}": name, "${trialSpec.Namespace}": namespace, "${trialSpec.Kind}": "Job"}
    for entry in template["trialParameters"]:
        value = meta.get(entry["reference"], values.get(entry["reference"], ""))
        text = text.replace(f"${{trialParameters.{entry['name']}}}", value)
    job = json.loads(text)
    return {**job, "metadata": {**job.get("metadata", {}), "name": name, "namespace": namespace}}


def stop_rules(name: str, spec: Manifest, known: Mapping[str, list[float]]) -> list[dict[str, Any]]:
    """medianstop: nothing before enough trials have succeeded."""
    stopping = spec.get("earlyStopping")
    if not stopping:
        return []
    settings = {entry["name"]: int(entry["value"]) for entry in stopping.get("algorithmSettings", [])}
    step, metric = settings.get("start_step", 4), spec["objective"]["objectiveMetricName"]
    curves = [curve for key, curve in known.items() if key.startswith(f"{name}-") and curve]
    if len(curves) < settings.get("min_trials_required", 3):
        return []
    mean = sum(sum(curve[:step]) / len(curve[:step]) for curve in curves) / len(curves)
    comparison = "greater" if spec["objective"]["type"] == "minimize" else "less"
    return [{"name": metric, "value": str(mean), "comparison": comparison, "startStep": step}]


def summary(experiment: Manifest, trials: Sequence[Manifest]) -> Manifest:
    """The counts and lists of the status; those of 0 are absent."""
    found: Manifest = {"trials": len(trials) or None}
    for kind, (count, names) in COUNTS.items():
        listed = [trial["metadata"]["name"] for trial in trials if newest(trial) == kind]
        found |= {count: len(listed) or None, names: listed or None}
    best = best_of(experiment["spec"], trials)
    if best is not None:
        found["currentOptimalTrial"] = {
            "bestTrialName": best["metadata"]["name"],
            "parameterAssignments": best["spec"]["parameterAssignments"],
            "observation": best["status"]["observation"],
        }
    return found


def best_of(spec: Manifest, trials: Sequence[Manifest]) -> Manifest | None:
    """The succeeded trial with the best value."""
    scored = [(value_of(spec, trial), trial) for trial in trials if newest(trial) == "Succeeded"]
    known = [(value, trial) for value, trial in scored if value is not None]
    if not known:
        return None
    choose = min if spec["objective"]["type"] == "minimize" else max
    return choose(known, key=lambda pair: pair[0])[1]


def value_of(spec: Manifest, trial: Manifest) -> float | None:
    """A trial's value of the objective, by its strategy."""
    metric = spec["objective"]["objectiveMetricName"]
    strategies = {entry["name"]: entry["value"] for entry in spec["objective"].get("metricStrategies") or []}
    kind = strategies.get(metric, "min" if spec["objective"]["type"] == "minimize" else "max")
    for entry in ((trial.get("status") or {}).get("observation") or {}).get("metrics") or []:
        if entry["name"] == metric and entry.get(kind) not in (None, "unavailable"):
            return float(entry[kind])
    return None


def observed(name: str, values: Sequence[str]) -> dict[str, str]:
    """One metric of an observation: Katib writes texts, and no number at all where there is none."""
    numbers = [value for value in values if value]
    if not numbers:
        return {"name": name, "min": "unavailable", "max": "unavailable"}
    return {"name": name, "min": min(numbers, key=float), "max": max(numbers, key=float), "latest": numbers[-1]}


def wrap(pod: Manifest, container: Manifest, objective: Manifest, rules: Sequence[Mapping[str, Any]]) -> None:
    """Does to a trial's pod what Katib's webhook does."""
    words = [*container.get("command", []), *container.get("args", [])]
    shell = ["sh", "-c"]
    if words[0] in ("sh", "bash") and words[1:2] == ["-c"]:
        shell, words = words[:2], words[2:]
    folder = LOG.rpartition("/")[0]
    line = " ".join([*words, f"1>{LOG} 2>&1 && echo completed > {folder}/$$$$.pid"])
    mount = {"name": "metrics-volume", "mountPath": folder}
    container |= {"command": shell, "args": [line], "volumeMounts": [*container.get("volumeMounts", []), mount]}
    environment = {
        "KATIB_LOG": LOG, "KATIB_RULES": json.dumps(list(rules)), "KATIB_OBJECTIVE_TYPE": objective["type"],
    }  # fmt: skip
    pod["containers"].append(
        {
            "name": COLLECTOR, "image": container["image"], "command": ["python", "-c", SOURCE.read_text()],
            "env": [{"name": key, "value": value} for key, value in environment.items()], "volumeMounts": [mount],
            "securityContext": container.get("securityContext", {}),
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi", "cpu": "500m"}},
        }
    )  # fmt: skip
    pod["volumes"] = [*pod.get("volumes", []), {"name": "metrics-volume", "emptyDir": {}}]
    pod["shareProcessNamespace"] = True

"""Steps of a compiled package as Pods with everything that its overlay gives them, and KFP's cache between runs.

Copied from KFP's driver (backend/src/v2/driver/k8s.go): how the settings for Kubernetes beside a package become parts
of a Pod. What no overlay of these tests uses is refused rather than left out.
"""

import json
import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from pods import Document, Ended, Pods

DONE_ELSEWHERE = {"retryPolicy"}  # by Argo: a step is run once here
logger = logging.getLogger(__name__)


class OverlaidPods(Pods):
    """Where steps run; a container may hold `kubernetes`, its executor's settings in the package."""

    def _pod(self, name: str, container: Document) -> Document:
        pod = super()._pod(name, container)
        overlay_pod(pod, container.get("kubernetes", {}), container.get("resources", {}))
        return pod


def overlay_pod(pod: Document, settings: Mapping[str, Any], resources: Mapping[str, Any]) -> None:
    """Puts a step's settings for Kubernetes into its Pod.

    Args:
        pod: The Pod; its first container is the step.
        settings: The executor's entry in the package's platform specification.
        resources: The executor's resources in the pipeline specification.
    """
    rest, spec = dict(settings), pod["spec"]
    (main,) = spec["containers"]
    for kind, source in (("configMap", "configMapKeyRef"), ("secret", "secretKeyRef")):
        for group in rest.pop(f"{kind}AsEnv", []):
            main["env"] += [_variable(kind, source, group, entry) for entry in group["keyToEnv"]]
    for volume in rest.pop("emptyDirMounts", []):
        size = {"sizeLimit": volume["sizeLimit"]} if "sizeLimit" in volume else {}
        spec["volumes"].append({"name": volume["volumeName"], "emptyDir": size})
        main["volumeMounts"].append({"name": volume["volumeName"], "mountPath": volume["mountPath"]})
    for key, given in rest.pop("podMetadata", {}).items():
        pod["metadata"][key] = {**pod["metadata"].get(key, {}), **given}
    if "activeDeadlineSeconds" in rest:
        spec["activeDeadlineSeconds"] = int(rest.pop("activeDeadlineSeconds"))
    main["securityContext"] = {**main["securityContext"], **rest.pop("securityContext", {})}
    found = {
        role: {
            unit: resources[key]
            for unit in ("cpu", "memory")
            if (key := f"resource{unit.capitalize()}{role.capitalize()}") in resources
        }
        for role in ("limit", "request")
    }
    if any(found.values()):
        main["resources"] = {"limits": found["limit"], "requests": found["request"]}
    unknown = set(rest) - DONE_ELSEWHERE
    assert not unknown, f"settings for Kubernetes that these Pods do not know yet: {sorted(unknown)}"


def _variable(kind: str, source: str, group: Mapping[str, Any], entry: Mapping[str, str]) -> Document:
    reference = {
        "name": group[f"{kind}Name"], "key": entry[f"{kind}Key"], "optional": bool(group.get("optional", False)),
    }  # fmt: skip
    return {"name": entry["envVar"], "valueFrom": {source: reference}}


@dataclass
class Steps:
    """What a walk runs its steps with: a compiled package's own settings, names of this run, and a cache.

    Attributes:
        pods: Where they run.
        documents: The package: pipeline specification, and platform specification if it has one.
        run: The run's name, the beginning of its Pods' names.
        cache: What ended before, over all runs; steps that the package lets be cached are answered from it.
        before: What happens before a step, by the step's name.
        seconds: How long each step took; 0 from the cache.
    """

    pods: Pods
    documents: list[Document]
    run: str
    cache: dict[str, Ended] = field(default_factory=dict)
    before: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, name: str, container: Document, executor_input: Document) -> Ended:
        """Runs a step, or takes from the cache what came of it."""
        task = self.documents[0]["root"]["dag"]["tasks"][name]
        key = cache_key(container, executor_input)
        cached = task.get("cachingOptions", {}).get("enableCache", False)
        self.before.get(name, lambda: None)()
        if cached and key in self.cache:
            self.seconds[name] = 0.0
            return self.cache[key]
        component = self.documents[0]["components"][task["componentRef"]["name"]]
        settings = self._settings().get(component["executorLabel"], {})
        ended = self.pods.run(f"{self.run}-{name}", {**container, "kubernetes": settings}, executor_input)
        self.seconds[name] = round(ended.seconds, 1)
        logger.info("%s: %s in %.1f s", self.run, name, ended.seconds)
        if cached:
            self.cache[key] = ended
        return ended

    def _settings(self) -> Mapping[str, Any]:
        if len(self.documents) == 1:
            return {}
        found = self.documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        return dict(found)


def cache_key(container: Document, executor_input: Document) -> str:
    """What KFP's cache knows a step by: image, command, inputs, and the names of outputs, not where they are."""
    inputs, outputs = deepcopy(executor_input["inputs"]), executor_input["outputs"]
    uris = {name: [one["uri"] for one in held["artifacts"]] for name, held in inputs.pop("artifacts", {}).items()}
    made = {kind: sorted(outputs.get(kind, {})) for kind in ("parameters", "artifacts")}
    words = [container.get(key) for key in ("image", "command", "args", "env")]
    return json.dumps([words, inputs, uris, made], sort_keys=True)

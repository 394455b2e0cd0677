"""What Katib accepts and then hangs on, or fails at, is refused here: a check of any Experiment, built by whom it may.

Each rule was met on a real controller; the namespace's label and the image are the cluster's to check.
"""

import re
from collections.abc import Mapping
from typing import Any

from fairlead.errors import ConfigurationError, nearest

NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LONGEST_NAME = 40

_KEYS = {
    "objective", "algorithm", "earlyStopping", "maxTrialCount", "parallelTrialCount", "maxFailedTrialCount",
    "resumePolicy", "parameters", "metricsCollectorSpec", "trialTemplate", "nasConfig",
}  # fmt: skip
_PLACEHOLDER = re.compile(r"\$\{trialParameters\.([^}]*)\}")
_METADATA = re.compile(r"\$\{trialSpec\..+\}")
_SHELL = re.compile(r"[\s\"'$`\\;&|<>(){}*?#~]")
_JOINING = re.compile(r"[;|\n]|&&|&$")


def refuse_traps(experiment: Mapping[str, Any]) -> None:
    """Refuses an Experiment with which Katib would not come to a good end.

    Args:
        experiment: As the cluster's API takes it.

    Raises:
        ConfigurationError: The first thing that is wrong, and what to write instead.
    """
    spec = experiment.get("spec") or {}
    template = spec.get("trialTemplate") or {}
    _check_name(str((experiment.get("metadata") or {}).get("name") or ""))
    for key in spec:
        if key not in _KEYS:
            raise ConfigurationError(f"spec.{key}: Katib takes the key and ignores it; {nearest(key, _KEYS)}")
    for key in ("maxTrialCount", "parallelTrialCount"):
        if not isinstance(spec.get(key), int):
            raise ConfigurationError(f"spec.{key} is not set; without it Katib takes its own, or never ends: add it")
    _check_search(spec)
    _check_parameters(spec, template)
    job = template.get("trialSpec") or {}
    _check_job(job)
    pod = ((job.get("spec") or {}).get("template") or {}).get("spec") or {}
    container = _primary(pod, template.get("primaryContainerName"))
    _check_command(container)
    _check_user(pod, container, stops_early="earlyStopping" in spec)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ConfigurationError(
            f"the Experiment's name {name!r} must be at most {LONGEST_NAME} lower-case letters, digits and dashes, a "
            "letter first, no dash last"
        )


def _check_search(spec: Mapping[str, Any]) -> None:
    """The search itself, by the rules of a `tuning` section; how long trials are is not known here."""
    from fairlead.tuning.spec import TuneSpec

    names = {field.alias or name for name, field in TuneSpec.model_fields.items()}
    section = {key: value for key, value in spec.items() if key in names}
    TuneSpec.parse({"maximum_epochs": 10**9, **section}, "spec")


def _check_parameters(spec: Mapping[str, Any], template: Mapping[str, Any]) -> None:
    """Every parameter reaches the trial, and every placeholder is filled."""
    searched = {parameter["name"] for parameter in spec.get("parameters") or []}
    passed = {entry["name"]: entry["reference"] for entry in template.get("trialParameters") or []}
    lost = sorted(searched - set(passed.values()))
    if lost:
        raise ConfigurationError(f"trialParameters lack {', '.join(lost)}: Katib would search what no trial is told")
    for name, reference in passed.items():
        if reference not in searched and not _METADATA.fullmatch(reference):
            raise ConfigurationError(
                f"trialParameters: {name} refers to {reference!r}; {nearest(reference, sorted(searched))}"
            )
    used = set(_PLACEHOLDER.findall(str(template.get("trialSpec"))))
    for name in sorted(used ^ set(passed)):
        what = "is used by the trial but no trialParameter" if name in used else "is a trialParameter no trial uses"
        raise ConfigurationError(f"${{trialParameters.{name}}} {what}; {nearest(name, sorted(used | set(passed)))}")


def _check_job(job: Mapping[str, Any]) -> None:
    """What a Job must say so that a pod that cannot start, hangs or fails becomes a failed trial."""
    if (job.get("apiVersion"), job.get("kind")) != ("batch/v1", "Job"):
        raise ConfigurationError(f"a trial must be a batch/v1 Job, got {job.get('apiVersion')} {job.get('kind')}")
    taken = [key for key in ("name", "namespace") if (job.get("metadata") or {}).get(key)]
    if taken:
        raise ConfigurationError(f"the trial's metadata.{taken[0]} must be left out: Katib sets it")
    spec = job.get("spec") or {}
    if spec.get("backoffLimit") != 0:
        raise ConfigurationError("backoffLimit must be 0: a trial that is repeated mixes the figures of its attempts")
    deadline = spec.get("activeDeadlineSeconds")
    if not isinstance(deadline, int) or deadline < 1:
        raise ConfigurationError("activeDeadlineSeconds is not set: a pod that cannot start would hang for ever")
    if ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") != "Never":
        raise ConfigurationError("restartPolicy must be Never: a restarted trial mixes the figures of its attempts")


def _primary(pod: Mapping[str, Any], name: Any) -> Mapping[str, Any]:
    containers = {container.get("name"): container for container in pod.get("containers") or []}
    if name not in containers:
        known = sorted(str(key) for key in containers)
        raise ConfigurationError(
            f"primaryContainerName {name!r} is no container of the trial, for which Katib waits for ever; "
            f"{nearest(str(name), known)}"
        )
    found: Mapping[str, Any] = containers[name]
    return found


def _check_command(container: Mapping[str, Any]) -> None:
    """Katib makes one line of shell out of the words, unquoted, and redirects the output of its last command."""
    if not container.get("image"):
        raise ConfigurationError("the trial's container has no image; name one, fully qualified")
    command, args = list(container.get("command") or []), list(container.get("args") or [])
    if not command:
        raise ConfigurationError(
            "the trial's container has no command, which Katib would look up in the image's registry; write it out"
        )
    words = [*command, *args]
    if words[0] in ("sh", "bash") and words[1:2] == ["-c"]:
        line = " ".join(words[2:]).strip()
        grouped = line.startswith("{ ") and line.endswith("; }")
        if not line or (_JOINING.search(line) and not grouped):
            raise ConfigurationError(
                f"the trial's shell line {line!r} has several commands, of which Katib would hear the last only; put "
                "them in braces: { a; b; }"
            )
        return
    wrong = [word for word in words if _SHELL.search(word)]
    if wrong:
        raise ConfigurationError(
            f"the trial's argument {wrong[0]!r} would not survive: Katib joins the words without quotes; put values in "
            'env, and write command: ["sh", "-c"] with one argument in braces'
        )


def _check_user(pod: Mapping[str, Any], container: Mapping[str, Any], *, stops_early: bool) -> None:
    """Katib's collector joins the pod as its image's user: root, unless the pod says otherwise."""
    ours, theirs = container.get("securityContext") or {}, pod.get("securityContext") or {}
    if theirs.get("runAsNonRoot") and not theirs.get("runAsUser"):
        raise ConfigurationError(
            "the pod's runAsNonRoot needs runAsUser beside it: Katib's collector is root otherwise, and the pod hangs"
        )
    mine = ours.get("runAsUser", theirs.get("runAsUser"))
    if stops_early and mine != theirs.get("runAsUser"):
        raise ConfigurationError(
            f"earlyStopping: the trial's user {mine} is not that of Katib's collector, which then cannot stop it, and "
            "the pod hangs; set runAsUser for the whole pod"
        )

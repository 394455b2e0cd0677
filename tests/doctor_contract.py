"""What the doctor must find on a cluster with fairlead's staging overlay, and on the same with parts taken away.

The same cases are held against a recording (tests/unit/command) and against a real cluster (tests/cluster).
"""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from click.testing import CliRunner

from fairlead_pipelines.command.main import main

KSERVE, KNATIVE, GATEWAY = "serving.kserve.io", "serving.knative.dev", "gateway.networking.k8s.io"
TRAINER, KATIB = "trainer.kubeflow.org", "kubeflow.org"


@dataclass(frozen=True)
class Case:
    """One cluster, one question.

    Attributes:
        name: What it shows.
        without: API groups that are taken away.
        refused: Resources that the user may not touch.
        pipeline: The pipeline that is asked about; empty for none.
        found: What the doctor says: by name, its state and a part of its finding.
    """

    name: str
    found: dict[str, tuple[str, str]]
    without: Sequence[str] = ()
    refused: Sequence[str] = ()
    pipeline: str = ""


CASES = (
    Case(
        "everything", {
            "Kubernetes": ("good", "v1."), "KServe": ("good", ""), "Trainer": ("good", ""),
            "serving mode": ("good", "knative and standard"), "runtime": ("good", "fairlead-serving (namespace)"),
            "traffic split": ("good", "Knative"), "training": ("good", "fairlead-training"),
            "settings": ("good", "FAIRLEAD_OBJECT_STORE"), "run's account": ("good", "fairlead-run may do all"),
            "pod security": ("good", "baseline"), "quota": ("good", ""),
            "s3": ("bad", "no Secret fairlead-s3"),
        },
    ),
    Case(
        "without KServe a pipeline that deploys cannot run",
        {"KServe": ("bad", "not installed"), "run's account": ("good", "")},
        without=(KSERVE,), pipeline="flights",
    ),
    Case(
        "without Knative an HTTPRoute splits",
        {"serving mode": ("good", "standard"), "traffic split": ("good", "HTTPRoutes at the Gateway ")},
        without=(KNATIVE,), pipeline="flights",
    ),
    Case(
        "with neither nothing splits",
        {"serving mode": ("warn", "neither"), "traffic split": ("bad", "neither Knative nor the Gateway API")},
        without=(KNATIVE, GATEWAY), pipeline="flights",
    ),
    Case(
        "without Trainer training is slower, not impossible",
        {"Trainer": ("warn", "in its own pod"), "KServe": ("good", "")}, without=(TRAINER,),
    ),
    Case(
        "without Katib trials run in the task", {"Katib": ("warn", "in its own pod")},
        without=(KATIB,), pipeline="flights",
    ),
    Case(
        "what this user may not look at is said",
        {
            "s3": ("warn", "may not look"), "settings": ("warn", "may not look"), "quota": ("warn", "may not look"),
            "your deployment": ("warn", "may not get configmaps"), "image base": ("warn", "may not look at the nodes"),
        },
        refused=("secrets", "configmaps", "nodes", "resourcequotas"),
    ),
)  # fmt: skip


def ask(pipeline: str, *flags: str) -> tuple[int, dict[str, dict[str, str]]]:
    """What the doctor says of the cluster that KUBECONFIG leads to: the status, and the findings by name."""
    arguments = ["doctor", "--cluster", "--json", *flags, *([pipeline] if pipeline else [])]
    result = CliRunner().invoke(main, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    found = {check["name"]: check for check in json.loads(result.output)}
    return result.exit_code, found


def judge(case: Case, answer: Callable[[str], tuple[int, dict[str, dict[str, str]]]] = ask) -> None:
    """Holds what the doctor says against a case; every remedy must be a command that a shell can read."""
    status, found = answer(case.pipeline)
    for name, (state, part) in case.found.items():
        assert found[name]["state"] == state, found[name]
        assert part in found[name]["finding"], found[name]
    for check in found.values():
        if check["mend"]:
            shlex.split(check["mend"])
        if check["state"] == "bad":
            assert check["mend"], f"no remedy: {check}"
    bad = sorted(name for name, check in found.items() if check["state"] == "bad")
    assert status == int(bool(bad)), f"status {status}, bad: {bad}"

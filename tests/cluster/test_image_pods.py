"""The images as a cluster runs them: nobody's user, a read-only root, no capabilities, and what they hold."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pods import RESTRICTED, SCRATCH, fresh_namespace

from fairlead import __version__
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster

pytestmark = pytest.mark.cluster

TMP = SCRATCH["tmp"]

# Runs inside the image, by python itself: no shell.
FACTS = """
import importlib.util, json, os, sys
def size(top, without=("/proc", "/sys", "/dev", "/tmp", "/var/run", "/run", "/etc/hosts", "/var/lib/mlflow")):
    total, seen = 0, set()
    for place, folders, files in os.walk(top):
        folders[:] = [name for name in folders if os.path.join(place, name) not in without]
        for status in (os.lstat(os.path.join(place, name)) for name in files):
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total
def written(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return type(error).__name__
    return "written"
failed = {}
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = repr(error)[:300]
bill = json.load(open("/opt/fairlead/sbom.cdx.json"))
print(json.dumps({
    "user": os.getuid(),
    "capabilities": open("/proc/self/status").read().split("CapEff:")[1].split()[0],
    "root": written("/opt/fairlead/x"), "home": written(os.path.expanduser("~/x")), "failed": failed,
    "there": [name for name in json.loads(sys.argv[2]) if importlib.util.find_spec(name)],
    "environment": {name: os.environ.get(name) for name in ("FAIRLEAD_PLATFORM", "TZ", "HOME")},
    "size": size("/"), "bill": sorted(part["name"] for part in bill["components"]), "format": bill["bomFormat"],
}))
"""


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    """A namespace under Pod Security `restricted`."""
    with fresh_namespace(cluster) as name:
        yield name


def run(cluster: Cluster, namespace: str, name: str, reference: str, command: list[str]) -> str:
    """Run a program in an image to its end; what it wrote."""
    pod: dict[str, Any] = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": False, "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [{
                "name": "main", "image": reference, "imagePullPolicy": "IfNotPresent", "command": command,
                "securityContext": RESTRICTED, "volumeMounts": [{"name": "tmp", "mountPath": TMP}],
                "resources": {"requests": {"cpu": "500m"}},
            }],
        },
    }  # fmt: skip
    cluster.create(pod)
    deadline = time.monotonic() + 400
    phase = ""
    while time.monotonic() < deadline and phase not in {"Succeeded", "Failed"}:
        time.sleep(0.5)
        phase = (cluster.get(kinds.POD, name, namespace) or {}).get("status", {}).get("phase", "")
    log = cluster.logs(name, lines=200, namespace=namespace)
    assert phase == "Succeeded", f"{phase}\n{log}\n{cluster.events('Pod', name, namespace)}"
    return log


def budget(repository: Path, runtime: str) -> int:
    """The megabytes that an image may have, as its Containerfile says."""
    text = (repository / "images" / runtime / "Containerfile").read_text(encoding="utf-8")
    found = re.search(r"^ARG BUDGET_MB=(\d+)$", text, re.MULTILINE)
    assert found
    return int(found[1])


def tasks(repository: Path, constant: str) -> list[str]:
    """The modules of the components that name an image."""
    library = repository / "components" / "fairlead"
    found = [path for path in library.glob("*/*/component.py") if f"base_image=image.{constant}" in path.read_text()]
    return [f"fairlead.{path.parent.relative_to(library).as_posix().replace('/', '.')}.task" for path in sorted(found)]


BASE = ["sklearn.ensemble", "duckdb", "feast", "mlflow", "fairlearn.metrics", "matplotlib.figure", "onnxruntime",
        "kserve", "mlxtend", "pandas", "kubernetes", "scipy.stats", "minio"]  # fmt: skip
SERVING = ["fairlead_serving.lean", "onnxruntime", "pyarrow.parquet", "minio", "uvloop", "httptools"]
TRAINING = [
    "torch",
    "pytorch_lightning",
    "onnxscript",
    "onnxruntime.quantization",
    "optuna",
    "transformers",
    "sklearn.ensemble",
    "kubeflow_katib_api",
]


@pytest.mark.parametrize(
    ("runtime", "constant", "modules", "absent"),
    [
        ("base", "BASE", BASE, ["torch", "mypy"]),
        (
            "serving",
            "SERVING",
            SERVING,
            ["torch", "mypy", "duckdb", "kubernetes", "kfp", "matplotlib", "sklearn", "dask"],
        ),
        pytest.param("training", "TRAINING", TRAINING, ["feast", "kserve"], marks=pytest.mark.slow),
    ],
)
def test_image_runs_as_nobody_and_holds_what_it_needs(
    runtime: str, constant: str, modules: list[str], absent: list[str],
    repository: Path, cluster: Cluster, place: str, images: Callable[[str], str],
) -> None:  # fmt: skip
    """No root, no capability, nothing written outside /tmp; its components import; within its budget; a bill of all."""
    wanted = [*modules, *tasks(repository, constant)]
    command = ["python", "-c", FACTS, json.dumps(wanted), json.dumps(absent)]
    facts = json.loads(run(cluster, place, f"facts-{runtime}", images(runtime), command).splitlines()[-1])
    assert facts["user"] == 65532
    assert int(facts["capabilities"], 16) == 0
    assert facts["root"] in {"OSError", "PermissionError"}
    assert facts["home"] == "written"
    assert facts["environment"] == {"FAIRLEAD_PLATFORM": "kubeflow", "TZ": "UTC", "HOME": TMP}
    assert facts["failed"] == {}
    assert facts["there"] == []
    assert facts["size"] < budget(repository, runtime) * 1_000_000
    assert facts["format"] == "CycloneDX"
    assert {"fairlead", "numpy", "pyarrow"} <= set(facts["bill"])
    assert not {"mypy"} & set(facts["bill"])


def test_the_command_is_in_the_images(cluster: Cluster, place: str, images: Callable[[str], str]) -> None:
    """`fairlead` answers in the base image, and is this version."""
    assert __version__ in run(cluster, place, "command", images("base"), ["fairlead", "--version"])


def test_the_server_explains_itself(cluster: Cluster, place: str, images: Callable[[str], str]) -> None:
    """The serving image's own program starts without kfp, Kubernetes' client and DuckDB, which it does not hold."""
    said = run(cluster, place, "server", images("serving"), ["python", "-m", "fairlead_serving", "--help"])
    assert "--package" in said


@pytest.mark.slow
def test_mlflow_answers(cluster: Cluster, place: str, images: Callable[[str], str]) -> None:
    """MLflow's server starts with a read-only root on SQLite in a volume, and keeps an experiment."""
    pod: dict[str, Any] = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mlflow", "namespace": place},
        "spec": {
            "automountServiceAccountToken": False, "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": name, "emptyDir": {}} for name in ("tmp", "data")],
            "containers": [{
                "name": "main", "image": images("mlflow"), "imagePullPolicy": "IfNotPresent",
                "securityContext": RESTRICTED, "env": [{"name": "MLFLOW_SERVER_ALLOWED_HOSTS", "value": "*"}],
                "readinessProbe": {"httpGet": {"path": "/health", "port": 5000}, "periodSeconds": 1},
                "volumeMounts": [{"name": "tmp", "mountPath": TMP},
                                 {"name": "data", "mountPath": "/var/lib/mlflow"}],
            }],
        },
    }  # fmt: skip
    cluster.create(pod)
    deadline = time.monotonic() + 400
    ready = False
    while time.monotonic() < deadline and not ready:
        time.sleep(1.0)
        conditions = (cluster.get(kinds.POD, "mlflow", place) or {}).get("status", {}).get("conditions", [])
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    assert ready, cluster.logs("mlflow", lines=60, namespace=place)
    path = "api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    assert '"Default"' in cluster.proxy("mlflow", 5000, path, namespace=place)

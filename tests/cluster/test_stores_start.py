"""Redis and MLflow of manifests/stores start under Pod Security `restricted`, and let in who knows the password."""

import os
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kustomize import MANIFESTS
from overlay_copies import kubectl

from fairlead import __version__
from fairlead.platform.kubeflow.api import Cluster

pytestmark = pytest.mark.cluster

BUILD = os.environ.get("FAIRLEAD_TEST_IMAGE_BUILD", "docker build --tag {reference} --file {file} {context}")
LOAD = os.environ.get("FAIRLEAD_TEST_IMAGE_LOAD", "kind load docker-image {reference}")
REDIS = "fairlead-test-redis:1"
# Debian's binaries with the libraries that they want, on the image that all of ours begin with: no registry is asked.
CONTAINERFILE = "FROM docker.io/library/python:3.11-slim\nCOPY files/ /\n"


def redis_image(folder: Path) -> str:
    """An image of the redis-server that this machine has."""
    files = folder / "files"
    for program in ("redis-server", "redis-cli"):
        found = shutil.which(program)
        if found is None:
            pytest.skip(f"there is no {program} here: apt-get install redis-server")
        _copy(Path(found), files / "usr" / "local" / "bin" / program)
        listed = subprocess.run(["ldd", found], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            name, _, target = line.strip().partition(" => ")
            if target and not name.startswith(("libc.", "libm.", "libdl.", "libpthread.", "librt.")):
                _copy(Path(target.split()[0]), files / "usr" / "local" / "lib" / name)
    file = folder / "Containerfile"
    file.write_text(CONTAINERFILE + "ENV LD_LIBRARY_PATH=/usr/local/lib\n")
    for command in (BUILD, LOAD):
        words = [w.format(reference=REDIS, file=str(file), context=str(folder)) for w in shlex.split(command)]
        if words:
            if shutil.which(words[0]) is None:
                pytest.skip(f"there is no {words[0]}; set FAIRLEAD_TEST_IMAGE_BUILD and FAIRLEAD_TEST_IMAGE_LOAD")
            subprocess.run(words, check=True, capture_output=True)
    return REDIS


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source.resolve(), target)


def apply_stores(folder: Path, namespace: str, image: dict[str, str], component: str) -> None:
    """Applies one store of manifests/stores to a namespace, on a volume that goes with its pod."""
    built = kubectl("kustomize", str(MANIFESTS / "stores"))
    assert built.returncode == 0, built.stderr
    for found in yaml.safe_load_all(built.stdout):
        mine = found["metadata"].get("labels", {}).get("app.kubernetes.io/component") == component
        if not mine and found["metadata"]["name"] != f"fairlead-{component}":
            continue
        found["metadata"]["namespace"] = namespace
        if found["kind"] == "StatefulSet":
            container = found["spec"]["template"]["spec"]["containers"][0]
            container["image"] = image[component]
        done = kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(found))
        assert (done.returncode, "arning" in done.stderr) == (0, False), done.stderr


def wait_ready(namespace: str, pod: str) -> None:
    """Waits until a pod is ready; what it says where it is not."""
    done = kubectl("wait", "--namespace", namespace, "--for=condition=Ready", f"pod/{pod}", "--timeout=180s")
    if done.returncode:
        told = kubectl("describe", "pod", pod, "--namespace", namespace).stdout[-3000:]
        raise AssertionError(told + kubectl("logs", pod, "--namespace", namespace).stdout[-2000:])


def test_redis_starts_and_wants_the_password(namespace: str, cluster: Cluster, tmp_path: Path) -> None:
    """Ready as another than root on a read-only file system; strangers are turned away, dangerous commands too."""
    image = redis_image(tmp_path)
    password = secrets.token_hex(16)
    users = f"user default on >{password} ~* &* +@all -@admin -@dangerous +info"
    literal = f"--from-literal=users.acl={users}"
    made = kubectl("--namespace", namespace, "create", "secret", "generic", "fairlead-redis", literal)
    assert made.returncode == 0, made.stderr
    apply_stores(tmp_path, namespace, {"redis": image}, "redis")
    for _ in range(100):
        if kubectl("get", "pod", "fairlead-redis-0", "--namespace", namespace).returncode == 0:
            break
    wait_ready(namespace, "fairlead-redis-0")

    def ask(*words: str, known: bool = True) -> str:
        environment = ["env", f"REDISCLI_AUTH={password}"] if known else []
        pod = ["exec", "--namespace", namespace, "fairlead-redis-0", "--", *environment]
        return kubectl(*pod, "redis-cli", "--no-auth-warning", *words).stdout

    assert "NOAUTH" in ask("get", "a", known=False)
    assert ask("set", "a", "1").strip() == "OK"
    assert "NOPERM" in ask("flushall")
    assert "noeviction" in ask("info", "memory")


@pytest.mark.slow
def test_mlflow_starts_and_answers(
    namespace: str, cluster: Cluster, tmp_path: Path, images: Callable[[str], str]
) -> None:
    """Ready on SQLite; its API answers to the Service's name, and to no other."""
    image = images("mlflow")
    assert image == f"fairlead-mlflow:{__version__}"
    literal = "--from-literal=MLFLOW_BACKEND_STORE_URI=sqlite:////var/lib/mlflow/mlflow.db"
    made = kubectl("--namespace", namespace, "create", "secret", "generic", "fairlead-mlflow", literal)
    assert made.returncode == 0, made.stderr
    apply_stores(tmp_path, namespace, {"mlflow": image}, "mlflow")
    for _ in range(100):
        if kubectl("get", "pod", "fairlead-mlflow-0", "--namespace", namespace).returncode == 0:
            break
    wait_ready(namespace, "fairlead-mlflow-0")
    code = (
        "import sys, urllib.request, urllib.error\n"
        "r = urllib.request.Request('http://127.0.0.1:5000/api/2.0/mlflow/experiments/search?max_results=1',"
        " headers={'Host': sys.argv[1]})\n"
        "try: print(urllib.request.urlopen(r).status)\n"
        "except urllib.error.HTTPError as e: print(e.code)\n"
    )
    pod = ["exec", "--namespace", namespace, "fairlead-mlflow-0", "--", "python", "-c", code]
    assert kubectl(*pod, f"fairlead-mlflow.{namespace}:5000").stdout.strip() == "200"
    assert kubectl(*pod, "fairlead-mlflow:5000").stdout.strip() == "200"
    assert kubectl(*pod, "evil.example.com").stdout.strip() == "403"

"""Redis and MLflow of manifests/stores start under Pod Security `restricted`, and let in who knows the password."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster_stores import apply_stores, redis_image, wait_ready
from overlay_copies import kubectl

from fairlead import __version__
from fairlead.platform.kubeflow.api import Cluster

pytestmark = pytest.mark.cluster


def test_redis_starts_and_wants_the_password(namespace: str, cluster: Cluster, tmp_path: Path) -> None:
    """Ready as another than root on a read-only file system; strangers are turned away, dangerous commands too."""
    image = redis_image(tmp_path)
    password = secrets.token_hex(16)
    users = f"user default on >{password} ~* &* +@all -@admin -@dangerous +info"
    literal = f"--from-literal=users.acl={users}"
    made = kubectl("--namespace", namespace, "create", "secret", "generic", "fairlead-redis", literal)
    assert made.returncode == 0, made.stderr
    apply_stores(namespace, {"redis": image}, "redis")
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
    apply_stores(namespace, {"mlflow": image}, "mlflow")
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

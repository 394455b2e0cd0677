"""Stores of manifests/stores on a real cluster, and a way to them for tests that run outside of it."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kustomize import MANIFESTS
from overlay_copies import kubectl

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


def apply_stores(namespace: str, image: dict[str, str], component: str) -> None:
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
    """Waits until a pod is there, and ready; what it says where it is not."""
    deadline = time.monotonic() + 30
    while kubectl("get", "pod", pod, "--namespace", namespace).returncode and time.monotonic() < deadline:
        time.sleep(0.3)
    done = kubectl("wait", "--namespace", namespace, "--for=condition=Ready", f"pod/{pod}", "--timeout=180s")
    if done.returncode:
        told = kubectl("describe", "pod", pod, "--namespace", namespace).stdout[-3000:]
        raise AssertionError(told + kubectl("logs", pod, "--namespace", namespace).stdout[-2000:])


def wait_gone(namespace: str, pod: str) -> None:
    """Waits until a pod is no more."""
    done = kubectl("wait", "--namespace", namespace, "--for=delete", f"pod/{pod}", "--timeout=90s")
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def forwarded(namespace: str, what: str, port: int) -> Iterator[int]:
    """Leads a port of this machine to one of a pod or a Service; gives this machine's."""
    command = ["kubectl", "port-forward", "--namespace", namespace, what, f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r":(\d+) ->", said)
            assert found, said
            yield int(found[1])
        finally:
            process.terminate()

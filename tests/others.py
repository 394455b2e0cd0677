"""What other processes do in tests: a process that is spawned imports it from here, and cannot import a test module."""

import os
import sys
from pathlib import Path
from typing import Any

from laptops import Laptop

from fairlead.features.materialize_features.task import materialize_features
from fairlead.platform.serving import InChargeError
from fairlead.registry.packages_s3 import S3Packages


def keep(package: str, home: str, digest: str) -> None:
    """One keeper of several."""
    S3Packages(home).keep(Path(package), "flights", digest)


def run_one(features: str, repository: str, as_of: str) -> None:
    """One materializer of several."""
    materialize_features(features, "shops", repository, as_of)


def judge(home: str, port: int, name: str, spec: dict[str, Any]) -> None:
    """Runs a rollout in a process of its own, as a pipeline's step does."""
    os.environ.update({"FAIRLEAD_HOME": home, "FAIRLEAD_SERVING_PORT": str(port)})
    platform = Laptop(Path(home), port)
    rollout, records = platform.rollout(name, "b", **spec)
    state = records.load()
    if state is not None and state.phase != "done":
        rollout.state = state
        if state.judge:
            rollout.judge.restore(state.judge)
    try:
        with records.charge():
            rollout.run()
    except InChargeError:
        sys.exit(7)

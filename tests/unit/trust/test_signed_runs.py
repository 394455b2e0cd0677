"""A run whose verdicts are to be signed by another key judges anew, and repeats nothing else."""

from pathlib import Path
from typing import Any

import pytest

from fairlead.errors import ConfigurationError
from fairlead.platform.runner import local
from fairlead.platform.runner.specification import SIGNER_VARIABLE, localise
from fairlead.signatures import make_private_key

TASKS: dict[str, dict[str, Any]] = {"judge": {"verdict": {}, "report": {}}, "trainer": {"checkpoint": {}}}


def specification() -> dict[str, Any]:
    """A compiled pipeline of a judge and a trainer."""
    executors = {f"exec-{name}": {"container": {"image": "x"}} for name in TASKS}
    components = {
        f"comp-{name}": {"executorLabel": f"exec-{name}", "outputDefinitions": {"artifacts": outputs}}
        for name, outputs in TASKS.items()
    }
    tasks = {
        name: {"componentRef": {"name": f"comp-{name}"}, "cachingOptions": {"enableCache": True}} for name in TASKS
    }
    return {"deploymentSpec": {"executors": executors}, "components": components, "root": {"dag": {"tasks": tasks}}}


def variables(signer: str) -> dict[str, Any]:
    """The environment of each task's container."""
    found = localise(specification(), {}, code_digest="0" * 64, run_id="run", signer=signer)
    return {name: found["deploymentSpec"]["executors"][f"exec-{name}"]["container"].get("env") for name in TASKS}


def test_only_judges_depend_on_the_signer() -> None:
    """Without a signer nothing is added, so that caches of before still count."""
    assert variables("") == {"judge": None, "trainer": None}
    assert variables("ci abc") == {"judge": [{"name": SIGNER_VARIABLE, "value": "ci abc"}], "trainer": None}


def test_the_signer_is_the_key_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name and public half; a key that cannot be used ends the run before it begins."""
    assert local._signer() == ""
    key = make_private_key(tmp_path / "ci.pem")
    monkeypatch.setenv("FAIRLEAD_SIGNING_KEY", str(tmp_path / "ci.pem"))
    assert local._signer() == f"ci {key.public}"
    (tmp_path / "ci.pem").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        local._signer()

"""A model is checked from files alone."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from trust import Handover, hand_over

from fairlead.errors import SourceError
from fairlead.registry.verification import Terms, Verification, read_verdicts, verdicts_beside, verify
from fairlead.verdicts import Verdict


@pytest.fixture
def made(tmp_path: Path) -> Handover:
    """A model, its verdicts and its policy."""
    return hand_over(tmp_path / "received")


def check(made: Handover, terms: Terms | None = None) -> Verification:
    """What comes of checking the files as they are now."""
    verdicts, unreadable = read_verdicts([made.verdicts])
    return verify(made.package, verdicts, terms or Terms(made.policy), unreadable)


def test_a_whole_model_is_verified(made: Handover) -> None:
    """Package, verdicts, signatures, policy."""
    found = check(made)
    assert (found.is_good, found.name, found.digest, found.problems) == (True, "tiny", made.digest, ())
    assert [(f.judge, f.demanded, f.problem) for f in found.findings] == [
        ("evaluation", True, ""), ("server", True, ""),
    ]  # fmt: skip
    assert found.to_json()["verified"] is True
    assert verdicts_beside(made.package) == made.verdicts


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda made: (made.package / "model.onnx").write_bytes(b"other"), "for another model"),
        (lambda made: (made.package / "extra.txt").write_text(""), "for another model"),
        (lambda made: (made.package / "MLmodel").unlink(), "MLmodel is missing"),
        (lambda made: (made.package / "fairlead" / "package.json").write_text("{"), "cannot be read"),
        (lambda made: (made.package / "load.py").write_text(""), "load.py may hold code"),
        (lambda made: (made.package / "link").symlink_to("MLmodel"), "link is a link"),
        (lambda made: (made.verdicts / "server.json").unlink(), "server: no verdict"),
        (lambda made: (made.verdicts / "server.json").write_text("{}"), "server.json is not a verdict"),
        (lambda made: made.package.rename(made.folder / "gone"), "no model package"),
    ],
)
def test_what_was_changed_is_refused(made: Handover, change: object, complaint: str) -> None:
    """Each change is named."""
    change(made)  # type: ignore[operator]
    found = check(made)
    assert not found.is_good
    assert complaint in "\n".join(found.problems)


def test_a_digest_that_is_known_must_be_the_packages(made: Handover) -> None:
    """Whoever was told the digest another way need not believe the verdicts."""
    assert check(made, Terms(made.policy, digest=made.digest)).is_good
    assert "not sha256:1" in check(made, Terms(made.policy, digest="sha256:1")).problems[0]


def test_a_stage_may_be_checked_alone(made: Handover) -> None:
    """Registration needs no server's verdict; the one at hand is shown as not demanded."""
    (made.verdicts / "server.json").unlink()
    assert check(made, Terms(made.policy, ["registration"])).is_good
    assert not check(made, Terms(made.policy, ["deployment"])).is_good


def test_the_verifiers_own_keys_are_all_that_counts(made: Handover) -> None:
    """With keys of his own he needs neither the policy's keys nor a policy."""
    keys = {name: (key.public,) for name, key in made.keys.items()}
    assert check(made, Terms(made.policy, trusted=keys)).is_good
    assert check(made, Terms(None, trusted=keys)).is_good
    assert not check(made, Terms(made.policy, trusted={"ci": keys["ci"]})).is_good
    assert not check(made, Terms(None, trusted={"ci": keys["ci"]})).is_good
    unsigned = replace(Verdict.read(made.verdicts / "server.json"), key="", signature="")
    unsigned.write(made.verdicts / "server.json")
    assert check(made, Terms({"registration": ["server"]})).is_good
    assert "unsigned" in "".join(check(made, Terms({"registration": ["server"]}, trusted=keys)).problems)


def test_without_a_policy_every_verdict_must_approve(made: Handover) -> None:
    """Nobody demands anything, so that anything wrong refuses; and no verdicts at all are no approval."""
    assert check(made, Terms()).is_good
    Verdict("load", made.digest, "rejected", reasons=["too slow"]).write(made.verdicts / "load.json")
    assert "load: rejected: too slow" in check(made, Terms()).problems
    assert check(made).is_good
    assert "no verdicts" in verify(made.package, [], Terms()).problems[0]
    assert verify(made.package, [], Terms({"registration": [], "deployment": []})).is_good


def test_a_forged_verdict_that_nobody_demands_refuses_too(made: Handover) -> None:
    """A signature that does not fit says that somebody tampers."""
    load = Verdict("load", made.digest, "approved").signed(made.keys["ci"])
    load = replace(Verdict("load", made.digest, "approved"), key="platform", signature=load.signature)
    load.write(made.verdicts / "load.json")
    assert "load: the signature of 'platform' does not fit" in "".join(check(made).problems)


def test_a_policy_that_this_place_refuses_refuses_the_model(made: Handover, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin, a signature, an end or another model's name."""
    assert "not for tiny" in check(made, Terms({**made.policy, "models": ["other"]})).problems[0]
    monkeypatch.setenv("FAIRLEAD_POLICY_DIGEST", f"sha256:{'0' * 64}")
    assert "FAIRLEAD_POLICY_DIGEST" in check(made).problems[0]


def test_verdicts_are_found_where_they_lie(made: Handover, tmp_path: Path) -> None:
    """Beside the package, as a registry keeps them, and as a run's artifacts."""
    home = tmp_path / "registry"
    kept = home / "packages" / "tiny" / "abc"
    kept.parent.mkdir(parents=True)
    made.package.rename(kept)
    assert verdicts_beside(kept) is None
    (home / "verdicts" / "tiny").mkdir(parents=True)
    made.verdicts.rename(home / "verdicts" / "tiny" / "abc")
    assert verdicts_beside(kept) == home / "verdicts" / "tiny" / "abc"
    run = tmp_path / "run" / "evaluate-model"
    run.mkdir(parents=True)
    (home / "verdicts" / "tiny" / "abc" / "server.json").rename(run / "verdict")
    assert [verdict.judge for verdict in read_verdicts([tmp_path / "run"])[0]] == ["server"]
    with pytest.raises(SourceError, match="give a file or a folder"):
        read_verdicts([tmp_path / "none"])


def test_nothing_of_the_producers_environment_is_needed(made: Handover) -> None:
    """A process in which every heavy library is refused verifies the model, in an environment that says nothing."""
    (made.folder / "policy.yaml").write_text(yaml.safe_dump(made.policy))
    heavy = (
        "numpy", "pandas", "pyarrow", "torch", "mlflow", "onnx", "onnxruntime", "sklearn", "scipy", "matplotlib", "kfp",
        "feast", "duckdb", "PIL", "sqlalchemy", "minio", "google", "requests", "httpx", "kserve", "transformers",
    )  # fmt: skip
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({heavy!r}))\n"
        "from fairlead_pipelines.command.main import main\n"
        f"main(['verify', {str(made.package)!r}, '--policy', {str(made.folder / 'policy.yaml')!r}])"
    )
    clean = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=made.folder, env=clean, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Verified" in ran.stdout
    (made.package / "model.onnx").write_bytes(b"other")
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=made.folder, env=clean, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "Refused" in ran.stdout

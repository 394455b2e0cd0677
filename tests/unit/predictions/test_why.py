"""`fairlead why` and `fairlead feedback`: the whole story of a prediction, and clear words where there is none."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from logged import log_outcomes, log_predictions
from memory_registry import MemoryRegistry, use
from models import tiny_package

from fairlead.registry import store
from fairlead.registry.packages import FolderPackages
from fairlead.settings import settings
from fairlead.signatures import SigningKey, make_private_key
from fairlead.verdicts import Verdict
from fairlead_pipelines.command.main import main
from fairlead_serving.package import ModelPackage

TRAIN = {"name": "departures", "digest": "sha256:" + "ab" * 32, "rows": 1200, "source": "s3://raw/flights",
         "time_range": ["2013-01-01T10:00:00Z", "2013-06-30T22:00:00Z"]}  # fmt: skip


def call(*arguments: str, code: int = 0) -> Result:
    """Run a command and check its exit status."""
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": "140"})
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    """The key of the evaluation."""
    return make_private_key(tmp_path / "evaluation-ci.pem")


@pytest.fixture
def package(tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> ModelPackage:
    """A registered package with a signed and an unsigned verdict, whose service has answered three requests."""
    use(MemoryRegistry(), FolderPackages(settings().registry_home / "packages"), monkeypatch)
    made = ModelPackage.open(
        tiny_package(tmp_path / "package", name="flights", lineage={"train": TRAIN, "revision": "c0ffee"})
    )
    verdicts = [
        Verdict("evaluation", made.digest, "approved", {"roc_auc": 0.71}).signed(key),
        Verdict("behaviour", made.digest, "approved"),
    ]
    store.register(made.path, "flights", verdicts, run="flights/r1")
    folder = settings().predictions_home("flights")
    log_predictions(folder, made, ["first", "second"], stem="one")
    log_predictions(folder, made, ["old"], stem="two", stale=["distance", "future:hour"], rows=2)
    log_outcomes(folder, [("first", 1), ("second", 1), ("second", 0)])
    return made


def test_it_tells_the_whole_story(package: ModelPackage) -> None:
    """The answer, features with values and times, the model, its data, its verdicts, and the outcome."""
    output = call("why", "first").output
    for text in (
        "flights version 1", package.digest[:19], "answered 0.", "decided", "2026-03-01 12:00 UTC", "over v1",
        "trace abab", "distance", "2026-03-01 10:00 UTC", "2 h before", "missing", "DL",
        "train: departures sha256:abababababab, 1200 rows, 2013-01-01 10:00 UTC to 2013-06-30 22:00 UTC",
        "from s3://raw/flights", "revision c0ffee", "run flights/r1",
        "approved by evaluation, signed by evaluation-ci, not checked here", "approved by behaviour, unsigned",
        "outcome  1, reported 2026-03-01 12:00 UTC",
    ):  # fmt: skip
        assert text in output, (text, output)


def test_signatures_are_checked_where_keys_are_known(
    package: ModelPackage, key: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the signer's key the signature is checked; with another one it is said that it does not fit."""
    del package
    trust = tmp_path / "trust.yaml"
    monkeypatch.setenv("FAIRLEAD_TRUST_FILE", str(trust))
    trust.write_text(f"evaluation-ci: {key.public}\n")
    assert "signed by evaluation-ci, checked" in call("why", "first").output
    trust.write_text(f"evaluation-ci: {make_private_key(tmp_path / 'other.pem').public}\n")
    assert "NOT signed by evaluation-ci: the signature does not fit" in call("why", "first").output


def test_what_was_not_fresh_is_marked(package: ModelPackage) -> None:
    """Features that were stale or from the future say so; a row is chosen among several; no outcome is no outcome."""
    del package
    output = call("why", "old", "--row", "1", "--service", "flights").output
    assert "2 h before stale" in output
    assert "future" in output
    assert "row 1 of 2" in output
    assert "none was reported yet" in output


def test_contradicting_outcomes_are_told(package: ModelPackage) -> None:
    """The last one counts, and both are shown."""
    del package
    assert "contradict one another; the last one counts" in call("why", "second").output


def test_what_moved_it_is_found_from_the_logged_features(package: ModelPackage, tmp_path: Path) -> None:
    """From the registered package: contributions, errors, cost; and a page that stands alone."""
    page = tmp_path / "why.html"
    output = call("why", "first", "--explain", "--html", str(page)).output
    for text in ("moved it by", "the mean of 50 reference rows", "evaluations", "█", f"page: {page}"):
        assert text in output.replace("\n", " "), (text, output)
    content = page.read_text()
    for text in ("Why flights answered", "departures", "evaluation-ci", "<svg", "missing", "2 h before"):
        assert text in content
    del package


def test_unknown_requests_say_how_far_back_the_log_goes(package: ModelPackage) -> None:
    """And what a request's id is; so do unknown services, rows and versions."""
    del package
    output = call("why", "nobody", code=1).output
    assert "no prediction log has a request 'nobody'" in output
    assert "that of flights goes back to 2026-03-01 12:00 UTC" in output
    assert "x-request-id" in output
    assert "did you mean 'flights'" in call("why", "first", "--service", "flihgts", code=1).output.lower()
    assert "had 1 rows, from 0; not 3" in call("why", "first", "--row", "3", code=1).output
    assert "was not answered by version ffff" in call("why", "first", "--digest", "ffff", code=1).output


def test_a_model_that_nobody_registered(package: ModelPackage, tmp_path: Path) -> None:
    """Its prediction is told, and that nothing is known of its data; it cannot be explained from here."""
    del package
    other = ModelPackage.open(tiny_package(tmp_path / "other", bias=1.0))
    log_predictions(settings().predictions_home("flights"), other, ["lone"], stem="three")
    assert "a version that no registry knows" in call("why", "lone").output
    assert "is not registered" in call("why", "lone", "--explain", code=1).output


def test_outcomes_from_a_file_by_command(package: ModelPackage, tmp_path: Path) -> None:
    """The command says how many are of requests that the log has."""
    del package
    file = tmp_path / "landed.csv"
    file.write_text("request_id,row,outcome\nold,1,1\nlater,0,1\n")
    output = call("feedback", str(file), "flights").output
    assert "2 outcomes are in the log of flights; 1 are of requests that it has" in output
    assert "outcome  1" in call("why", "old", "--row", "1").output
    assert "there is no prediction log of a service 'birds'" in call("feedback", str(file), "birds", code=1).output

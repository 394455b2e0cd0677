"""The contract of the registry, held by every backend: versions, aliases, verdicts, documents."""

import shutil
from pathlib import Path

import pytest

from fairlead.errors import ConfigurationError, PackageError, VerdictError
from fairlead.registry import store
from fairlead.registry.choose import open_registry
from fairlead.registry.comparison import compare_versions, find_one
from fairlead.registry.fetch_model.task import fetch_model
from fairlead.settings import settings
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest

pytestmark = pytest.mark.usefixtures("backend")


def _aliases(model: str) -> dict[str, tuple[str, ...]]:
    return {known.version: known.aliases for known in store.versions(model)}


def test_a_package_is_registered_whole(package: Path, model: str) -> None:
    """The copy is the package, the alias points at it, and lineage is told."""
    done = store.register(package, model, run="flights/r1")
    assert (done.name, done.version, done.digest) == (model, "1", package_digest(package))
    assert package_digest(done.uri) == done.digest
    assert done.aliases == ("challenger",)
    assert done.lineage == {"recipe": "tiny", "data.digest": "sha256:1", "data.rows": "9", "run": "flights/r1"}
    assert done.reference() == {"name": model, "version": "1", "digest": done.digest, "uri": done.uri}
    assert done.created_at.endswith("+00:00")
    assert model in store.names()


def test_the_same_package_is_the_same_version(package: Path, other: Path, model: str) -> None:
    """Registering is idempotent; another package is the next version and takes the alias; names are apart."""
    first = store.register(package, model)
    assert store.register(package, model) == first
    assert store.register(other, model).version == "2"
    assert _aliases(model) == {"1": (), "2": ("challenger",)}
    assert store.register(package, f"{model}-too").version == "1"


def test_versions_are_found_by_alias_version_and_digest(package: Path, other: Path, model: str) -> None:
    """All three find the same; what is not there is None; nothing or two of them is an error."""
    done, newer = store.register(package, model), store.register(other, model)
    assert store.find(model, "challenger") == newer
    assert store.find(model, version="2") == newer
    found = store.find(model, digest=done.digest)
    assert found is not None
    assert found.version == "1"
    assert store.find(model, "champion") is None
    assert store.find(f"{model}-not", "champion") is None
    with pytest.raises(ConfigurationError, match="exactly one"):
        store.find(model)
    with pytest.raises(ConfigurationError, match="exactly one"):
        store.find(model, "champion", version="1")


def test_aliases_move_and_go(package: Path, other: Path, model: str) -> None:
    """An alias points at one version; a version may have several; taking one away twice is once."""
    store.register(package, model)
    store.set_alias(model, "1", "trusted")
    assert _aliases(model) == {"1": ("challenger", "trusted")}
    store.register(other, model)
    store.set_alias(model, "2", "trusted")
    assert _aliases(model) == {"1": (), "2": ("challenger", "trusted")}
    store.remove_alias(model, "trusted")
    store.remove_alias(model, "trusted")
    assert store.find(model, "trusted") is None
    store.set_alias(model, "1", "trusted")
    assert _aliases(model)["1"] == ("trusted",)
    with pytest.raises(ConfigurationError, match=r"no version '7' .* it has: 1, 2"):
        store.set_alias(model, "7", "champion")


def test_a_champion_follows_a_champion(package: Path, other: Path, model: str) -> None:
    """The new champion is no challenger, the one before is archived, going back swaps them, and again is no change."""
    store.register(package, model)
    store.set_alias(model, "1", "champion")
    assert _aliases(model) == {"1": ("champion",)}
    assert store.register(package, model).aliases == ("champion",)
    store.register(other, model)
    for _ in range(2):
        store.set_alias(model, "2", "champion")
        assert _aliases(model) == {"1": ("archived",), "2": ("champion",)}
    store.set_alias(model, "1", "champion")
    assert _aliases(model) == {"1": ("champion",), "2": ("archived",)}


def test_nothing_is_registered_without_its_verdicts(package: Path, other: Path, model: str) -> None:
    """Missing, rejected and foreign verdicts are refused before anything is written."""
    digest, foreign = package_digest(package), package_digest(other)
    with pytest.raises(VerdictError, match="no verdict"):
        store.register(package, model, [], ["evaluation"])
    rejected = Verdict("evaluation", digest, "rejected", reasons=["roc_auc is 0.5"])
    with pytest.raises(VerdictError, match=r"rejected: roc_auc is 0\.5"):
        store.register(package, model, [rejected], ["evaluation"])
    with pytest.raises(VerdictError, match="another model"):
        store.register(package, model, [Verdict("evaluation", foreign, "approved")], ["evaluation"])
    assert store.versions(model) == []
    assert list(open_registry(settings())[1].kept()) == []


def test_verdicts_are_kept_with_the_package(package: Path, other: Path, model: str) -> None:
    """Those bound to the package are kept and told; later ones replace or join them; those of others cannot."""
    digest, foreign = package_digest(package), package_digest(other)
    given = [Verdict("evaluation", digest, "approved"), Verdict("comparison", foreign, "approved")]
    assert store.register(package, model, given, ["evaluation"]).verdicts == {"evaluation": "approved"}
    assert store.verdicts(model, digest) == given[:1]
    later = [Verdict("canary", digest, "rejected", reasons=["slow"]), Verdict("evaluation", digest, "inconclusive")]
    for verdict in later:
        store.keep_verdict(model, verdict)
    found = store.find(model, "challenger")
    assert found is not None
    assert found.verdicts == {"canary": "rejected", "evaluation": "inconclusive"}
    assert store.verdicts(model, digest) == later
    assert store.verdicts(model, foreign) == []
    with pytest.raises(VerdictError, match="no registered package"):
        store.keep_verdict(model, given[1])


def test_documents_are_kept_with_the_package(package: Path, other: Path, model: str) -> None:
    """Model card and datasheet come back as they were, also long ones; a later registration may replace them."""
    texts = {"model_card": "# Karte — «ü»\n" + "lang " * 12_000, "datasheet": "# Rows"}
    digest = store.register(package, model, documents=texts).digest
    store.register(other, model, documents={"model_card": "# other"})
    assert store.documents(model, digest) == texts
    store.register(package, model, documents={"datasheet": "# More rows"})
    assert store.documents(model, digest) == {**texts, "datasheet": "# More rows"}


def test_two_versions_are_compared(package: Path, other: Path, model: str) -> None:
    """Outcomes and figures side by side, and what differs in how they were made."""
    digests = package_digest(package), package_digest(other)
    store.register(package, model, [Verdict("evaluation", digests[0], "approved", {"roc_auc": 0.7, "rows": 10})])
    verdicts = [
        Verdict("evaluation", digests[1], "rejected", {"roc_auc": 0.6}),
        Verdict("load", digests[1], "approved"),
    ]
    store.register(other, model, verdicts)
    done = compare_versions(find_one(model, "1"), find_one(model, "challenger"))
    assert not done.same
    assert done.verdicts == {"evaluation": ("approved", "rejected"), "load": ("", "approved")}
    assert done.figures == {"evaluation.roc_auc": (0.7, 0.6), "evaluation.rows": (10.0, None)}
    assert done.lineage == {"data.digest": ("sha256:1", ""), "data.rows": ("9", "")}
    assert compare_versions(done.first, done.first).same
    with pytest.raises(ConfigurationError, match="has no version '9'"):
        find_one(model, "9")


def test_a_damaged_copy_is_replaced_by_registering_again(package: Path, model: str) -> None:
    """What was changed in the registry's folder does not stay there."""
    done = store.register(package, model)
    (Path(done.uri) / "model.onnx").write_bytes(b"changed")
    assert store.register(package, model).version == "1"
    assert package_digest(done.uri) == done.digest


@pytest.mark.parametrize("by", ["champion", "1", "digest", "only digest"])
def test_a_model_is_fetched_by_alias_version_or_digest(package: Path, tmp_path: Path, model: str, by: str) -> None:
    """The copy is the package, and replaces what an earlier try left."""
    digest = store.register(package, model).digest
    store.set_alias(model, "1", "champion")
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / "left").write_text("over")
    ways = {"digest": {"alias": digest}, "only digest": {"alias": "nobody", "digest": digest}}
    done = fetch_model(tmp_path / "fetched", model, **ways.get(by, {"alias": by}))
    assert (done.found, done.version, done.digest) == (True, "1", digest)
    assert package_digest(tmp_path / "fetched") == digest


def test_a_tampered_or_missing_package_is_not_fetched(package: Path, tmp_path: Path, model: str, backend: str) -> None:
    """What is fetched is what was registered, or nothing; a server has a copy of its own."""
    uri = Path(store.register(package, model, alias="champion").uri)
    (uri / "fairlead" / "package.json").write_text("{}")
    with pytest.raises(PackageError, match="is not what was registered"):
        fetch_model(tmp_path / "fetched", model)
    uri.rename(tmp_path / "gone")
    if backend == "mlflow-server":
        assert fetch_model(tmp_path / "fetched", model).found
        return
    with pytest.raises(PackageError, match="cannot be read"):
        fetch_model(tmp_path / "fetched", model)
    assert not (tmp_path / "fetched").exists()


def test_another_machine_fetches_from_where_packages_are_shared(
    package: Path, tmp_path: Path, model: str, backend: str, own_state: Path
) -> None:
    """A machine without a copy gets the package from MLflow's server; elsewhere it is told that there is none."""
    digest = store.register(package, model, alias="champion").digest
    shutil.rmtree(own_state, ignore_errors=True)
    if backend == "mlflow-server":
        assert fetch_model(tmp_path / "fetched", model).digest == digest
        assert package_digest(tmp_path / "fetched") == digest
    elif backend == "mlflow":
        assert not fetch_model(tmp_path / "fetched", model).found  # the registry went with the folder
    else:
        with pytest.raises(PackageError, match="cannot be read"):
            fetch_model(tmp_path / "fetched", model)

"""A model card holds what was measured, exactly, and says of everything else that it is not recorded."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from models import tiny_package
from reading import cells, read_html, read_markdown

from fairlead.errors import ConfigurationError, PackageError, VerdictError
from fairlead.evaluation.write_model_card.component import write_model_card as component
from fairlead.evaluation.write_model_card.figures import figures_of, tables_of
from fairlead.evaluation.write_model_card.spec import CardSpec
from fairlead.evaluation.write_model_card.task import write_model_card
from fairlead.signatures import make_private_key
from fairlead.values import number
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest

EVALUATION = {
    "roc_auc": 0.75831, "roc_auc_low": 0.74112, "roc_auc_high": 0.77493, "log_loss": 0.53484, "log_loss_low": 0.52,
    "log_loss_high": 0.55, "majority_log_loss": 0.61813, "gradient_boosting_roc_auc": 0.73771,
    "gradient_boosting_log_loss": 0.53945, "log_loss_minus_gradient_boosting": -0.00461,
    "log_loss_minus_gradient_boosting_low": -0.00913, "log_loss_minus_gradient_boosting_high": 0.00017,
}  # fmt: skip
THRESHOLDS: dict[str, float | str] = {"roc_auc at least": 0.62, "log_loss at most": 0.6}
CARD = {
    "overview": "Says whether a flight is late.", "owners": ["Ada"], "intended_use": ["planning", "teaching"],
    "out_of_scope": "Safety.", "caveats": ["Small data."],
}  # fmt: skip


class Made:
    """A package, verdicts of several judges, and the card that was written from them."""

    def __init__(self, folder: Path, **lineage: Any) -> None:
        self.folder = folder
        known = {
            "recipe": "tiny",
            "revision": "abc123",
            "versions": {"numpy": "2.4.6"},
            "tuned": {"dropout": 0.18},
            "computed": {"device": "cpu"},
        }
        known |= {"train": {"name": "rows", "rows": 41, "digest": f"sha256:{'1' * 64}", "source": "here"}}
        self.package = tiny_package(folder / "package", lineage={**known, **lineage})
        self.digest = package_digest(self.package)

    def verdict(self, judge: str, figures: dict[str, float], outcome: str = "approved", **rest: Any) -> Path:
        """Writes a verdict."""
        path = self.folder / judge
        Verdict(judge, self.digest, outcome, figures, **rest).write(path)  # type: ignore[arg-type]
        return path

    def write(self, verdicts: list[Path], spec: dict[str, Any] | None = None, **given: Any) -> tuple[str, str, Any]:
        """The card as Markdown, as a page, and as JSON."""
        card, page, facts = (self.folder / name for name in ("card.md", "card.html", "card.json"))
        write_model_card(self.package, card, page, facts, spec or {}, verdicts, **given)
        return card.read_text(), page.read_text(), json.loads(facts.read_text())


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A package."""
    return Made(tmp_path)


def test_every_figure_is_there_as_it_was_measured(made: Made) -> None:
    """With its interval, what was demanded, and the baselines beside; in both forms the same."""
    load = {
        "highest_rate": 400.0,
        "p99_seconds_at_100": 0.0084,
        "p99_seconds_at_400": 0.0284,
        "p50_seconds_at_400": 0.004,
    }
    verdicts = [
        made.verdict("load", load, thresholds={"protocol": "v2"}),
        made.verdict("evaluation", EVALUATION, thresholds=THRESHOLDS, reasons=["It beats nobody."]),
    ]
    text, html, _ = made.write(verdicts, CARD)
    readers = read_markdown(text), read_html(html)
    assert cells(readers[0]) == cells(readers[1])
    rows = [row for table in cells(readers[0]) for row in table]
    assert ["ROC AUC", "0.7583 (0.7411 to 0.7749)", "at least 0.62"] in rows
    assert ["log loss", "0.5348 (0.5200 to 0.5500)", "0.6181", "0.5394"] in rows
    assert ["log loss: model minus baseline", "—", "—", "-0.004610 (-0.009130 to 0.0001700)"] in rows
    assert ["ROC AUC", "0.7583 (0.7411 to 0.7749)", "—", "0.7377"] in rows
    assert ["400", "0.02840", "0.004000"] in rows
    assert ["100", "0.008400", "—"] in rows
    assert "It beats nobody." in text
    assert "<svg" in html


def test_no_figure_is_invented(made: Made) -> None:
    """Every number among the analyses is one of the verdict's, rounded; every number of the verdict is among them."""
    path = made.verdict("evaluation", EVALUATION, thresholds=THRESHOLDS)
    tables = tables_of(Verdict.read(path))
    told = {found for table in tables for row in table.rows for cell in row[1:] for found in _numbers(str(cell or ""))}
    assert told == {number(value) for value in EVALUATION.values()} | {"0.62", "0.6"}


@pytest.mark.parametrize("judge", ["slices", "behaviour", "comparison", "server", "canary", "somebody"])
def test_each_judges_figures_are_told(made: Made, judge: str) -> None:
    """Whatever a judge measures and demands has its place, a judge of the future's too."""
    figures = {"cases": 412.0, "cases_failed": 17.0, "gap": 0.061, "gap_low": 0.05, "gap_high": 0.07, "a_low": 3.0}
    thresholds: dict[str, float | str] = {"cases_failed at most": 0.0, "alpha": 0.05, "correction": "holm"}
    text, _, facts = made.write([made.verdict(judge, figures, "rejected", thresholds=thresholds, reasons=["17 fail."])])
    rows = [row for table in cells(read_markdown(text)) for row in table]
    for expected in (
        ["cases", "412", "—"], ["cases failed", "17", "at most 0"], ["gap", "0.06100 (0.05000 to 0.07000)", "—"],
        ["a low", "3", "—"], [judge, "alpha", "0.05"], [judge, "correction", "holm"],
    ):  # fmt: skip
        assert expected in rows
    assert f"- {judge}: 17 fail." in text
    assert facts["verdicts"][judge]["figures"] == figures


def test_classes_have_a_table(made: Made) -> None:
    """Precision and recall of each class stand side by side."""
    figures = {
        "accuracy": 0.98,
        "precision_of_7": 0.97,
        "recall_of_7": 0.99,
        "precision_of_8": 0.95,
        "recall_of_8": 0.9,
    }
    tables = {table.caption: table for table in tables_of(Verdict.read(made.verdict("evaluation", figures)))}
    assert tables["By class"].headers == ("class", "precision", "recall")
    assert tables["By class"].rows == [["7", "0.9700", "0.9900"], ["8", "0.9500", "0.9000"]]
    assert list(figures_of(Verdict.read(made.folder / "evaluation"))) == list(figures)


def test_what_nobody_recorded_is_said(made: Made) -> None:
    """Without verdicts, training figures and a human part the card is all gaps, and says which."""
    text, html, facts = made.write([])
    for reader in (read_markdown(text), read_html(html)):
        shown = " ".join(reader.words.split())
        assert "nothing here says how good this model is" in shown
        assert "Verdicts not recorded: evaluation, slices, behaviour, comparison, server, load." in shown
        assert "energy of the training" in shown
        assert "energy" in facts["not_recorded"]
        assert shown.count("not recorded") >= 14
    assert "verdict evaluation" in facts["not_recorded"]
    assert "card.intended_use" in facts["not_recorded"]
    assert {f"card.{name}" for name in CardSpec.model_fields} <= set(facts["not_recorded"])


def test_what_people_said_is_there_and_no_longer_missing(made: Made) -> None:
    """In their words."""
    text, _, facts = made.write([], CARD)
    for said in (
        "Says whether a flight is late.",
        "- **owners:** Ada",
        "- planning\n- teaching",
        "Safety.",
        "Small data.",
    ):
        assert said in text
    assert facts["people"]["intended_use"] == ["planning", "teaching"]
    assert not {"card.owners", "card.overview", "card.caveats"} & set(facts["not_recorded"])


def test_training_and_lineage_are_told(made: Made) -> None:
    """Energy, tuned values, versions, revision, data; a package without lineage says so."""
    figures = {"kilowatt_hours": 0.00021, "grams_co2": 0.08, "seconds": 5.319, "recipe": "tiny", "x": [1]}
    text, _, facts = made.write([], training=figures)
    rows = [row for table in cells(read_markdown(text)) for row in table]
    assert ["kilowatt hours", "0.0002100"] in rows
    assert "- **energy of the training:** 0.0002100 kWh, 0.08000 g CO2" in text
    assert "energy" not in facts["not_recorded"]
    assert ["computed.device", "cpu"] in rows
    assert ["dropout", "0.18"] in rows
    assert ["numpy", "2.4.6"] in rows
    assert "- **git revision:** abc123" in text
    assert f"`sha256:{'1' * 64}`" in text
    assert facts["training"]["figures"] == {key: figures[key] for key in figures if key != "x"}
    (made.package / "fairlead" / "lineage.json").unlink()
    assert "lineage" in made.write([])[2]["not_recorded"]


def test_the_signer_is_named(made: Made) -> None:
    """Who signed each verdict, or that nobody did."""
    key = make_private_key(made.folder / "ci.pem")
    verdict = Verdict("server", made.digest, "approved").signed(key)
    verdict.write(made.folder / "server")
    text, _, facts = made.write([made.folder / "server", made.verdict("load", {})])
    rows = [row for table in cells(read_markdown(text)) for row in table]
    assert [row[3] for row in rows if row[0] in {"server", "load"} and len(row) == 5] == ["ci", "nobody"]
    assert facts["verdicts"]["server"]["signature"] == verdict.signature


def test_another_models_figures_are_refused(made: Made) -> None:
    """A card must not praise a model for what another did; nor may one judge have two words."""
    stranger = made.folder / "stranger"
    Verdict("evaluation", f"sha256:{'0' * 64}", "approved").write(stranger)
    with pytest.raises(VerdictError, match="give the verdicts of this model"):
        made.write([stranger])
    with pytest.raises(VerdictError, match="two verdicts of load"):
        made.write([made.verdict("load", {}), made.verdict("load", {})])
    with pytest.raises(ConfigurationError, match="did you mean 'owners'"):
        made.write([], {"owner": "Ada"})
    (made.package / "model.onnx").unlink()
    with pytest.raises(PackageError):
        made.write([])


def test_the_component_gives_all_three(made: Made) -> None:
    """KFP's metadata are the training's figures; absent judges are None."""
    outputs = [
        kind(uri=str(made.folder / name)) for kind, name in ((dsl.Markdown, "a"), (dsl.HTML, "b"), (dsl.Artifact, "c"))
    ]
    training = dsl.Metrics(uri="none", metadata={"kilowatt_hours": 0.5})
    evaluation = dsl.Artifact(uri=str(made.verdict("evaluation", EVALUATION)))
    component.python_func(dsl.Model(uri=str(made.package)), *outputs, CARD, training, None, evaluation)
    assert outputs[0].metadata["digest"] == made.digest
    assert "| kilowatt hours | 0.5000 |" in Path(outputs[0].path).read_text()
    assert json.loads(Path(outputs[2].path).read_text())["model"]["digest"] == made.digest


def _numbers(text: str) -> list[str]:
    return re.findall(r"-?\d[\d.,]*(?:e-?\d+)?", text)

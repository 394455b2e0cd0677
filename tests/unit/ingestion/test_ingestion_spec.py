"""What a problem's YAML may say about its data."""

from datetime import date

import pytest

from fairlead.errors import ConfigurationError
from fairlead.ingestion.spec import Expectations, SplitSpec, TableSpec

BY_TIME = {"by": "time", "column": "t", "train_until": "2013-05-01", "validation_until": "2013-06-01"}


def test_kfp_floats_are_integers_again() -> None:
    """KFP turns every whole number inside a dictionary into a float; sections take them back."""
    wanted = Expectations.parse({"rows": {"minimum": 100.0}}, "expectations")
    assert wanted.rows.minimum == 100
    assert SplitSpec.parse({**BY_TIME, "seed": 3.0, "embargo_seconds": 60.0}, "split").seed == 3


def test_a_spec_survives_json() -> None:
    """What one step dumps the next one parses to the same."""
    spec = TableSpec.parse({"columns": {"t": "timestamp"}, "time_column": "t", "na_values": ["-"]}, "data.x")
    assert TableSpec.parse(spec.model_dump(mode="json"), "data.x") == spec


def test_a_wrong_key_names_the_nearest() -> None:
    """A misspelt key is refused with the right one."""
    with pytest.raises(ConfigurationError, match=r"data\.x\.na_value: .*did you mean 'na_values'"):
        TableSpec.parse({"na_value": ["-"]}, "data.x")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"columns": {"a": "int"}}, "'int8', 'int16'"),
        ({"time_zone": "America/NewYork"}, "no such time zone"),
        ({"encoding": "utf9"}, "no such encoding"),
        ({"delimiter": "; "}, "delimiter"),
        ({"header": False, "columns": {"a": "int8"}}, "give `names`: all columns of the files in their order"),
        ({"names": ["a"]}, "set `header: false`, or remove `names`"),
        ({"columns": {"a": "int8"}, "time_column": "a"}, "declare it as timestamp"),
        ({"columns": {"a": "int8"}, "time_column": "b"}, "not one of the columns"),
    ],
)
def test_wrong_tables_are_refused(table: dict[str, object], message: str) -> None:
    """A value that could not work is refused before any file is opened."""
    with pytest.raises(ConfigurationError, match=message):
        TableSpec.parse(table, "data.x")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"by": "time", "column": "t"}, "needs `train_until` and `validation_until`"),
        ({**BY_TIME, "column": ""}, "needs `column`"),
        ({**BY_TIME, "validation_until": "2013-04-01"}, "train_until .* and validation_until .* overlap"),
        ({**BY_TIME, "start": "2013-05-01"}, "start .* and train_until .* overlap"),
        ({**BY_TIME, "embargo_seconds": 31 * 86400}, "leave no room beside the embargo"),
        ({**BY_TIME, "train_until": "May"}, "ISO 8601"),
        ({"by": "entity", "column": "c", "train_until": "2013-05-01"}, "takes fractions, not times"),
        ({"by": "entity", "column": "c", "fractions": {"train": 0.5, "validation": 0.1, "test": 0.1}}, "add up to 0.7"),
        ({"by": "rows"}, "'time', 'entity' or 'stratified'"),
    ],
)
def test_wrong_splits_are_refused(split: dict[str, object], message: str) -> None:
    """Bounds that overlap, and mixtures of two kinds of split, are refused."""
    with pytest.raises(ConfigurationError, match=message):
        SplitSpec.parse(split, "split")


def test_bounds_are_utc_unless_they_say_otherwise() -> None:
    """A bound without zone is UTC; YAML's own dates work too."""
    spec = SplitSpec.parse({**BY_TIME, "train_until": "2013-05-01T00:00:00-04:00"}, "split")
    assert spec.train_until == "2013-05-01T04:00:00+00:00"
    assert spec.validation_until == "2013-06-01T00:00:00+00:00"
    assert SplitSpec.parse({**BY_TIME, "train_until": date(2013, 5, 1)}, "split").train_until[:10] == "2013-05-01"


def test_a_pattern_must_compile() -> None:
    """A broken regular expression is the YAML's mistake, not the data's."""
    with pytest.raises(ConfigurationError, match="no regular expression"):
        Expectations.parse({"columns": {"a": {"pattern": "["}}}, "expectations")

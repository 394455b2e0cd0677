"""The section `slices`: what it refuses, and why."""

from typing import Any

import pytest

from fairlead.errors import ConfigurationError
from fairlead.evaluation.slice_spec import SliceSpec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "nothing to judge; declare columns"),
        ({"columns": ["a"], "gates": [{"metric": "log_loss"}]}, "add largest_gap or at_least or at_most"),
        ({"columns": ["a"], "gates": [{"metric": "logloss", "at_most": 1}]}, "did you mean 'log_loss'"),
        ({"columns": ["a"], "gates": [{"metric": "bias", "largest_gap": 0.1}]}, "bias has no better side"),
        ({"columns": ["a"], "metric": "bias"}, "gaps cannot be taken of 'bias'"),
        ({"quantiles": {"a": 1}}, "'a' must be cut into 2 parts or more"),
        ({"columns": ["a"], "cluster_seconds": 60}, "name it as `cluster`"),
        ({"column": ["a"]}, "did you mean 'columns'"),
        ({"fairness": {"sensitive": []}}, "at least 1 item"),
        (
            {"fairness": {"sensitive": ["a"], "gates": [{"metric": "demographic_parity_ratio", "at_most": 0.8}]}},
            "may be demanded to be at_least a bound",
        ),
        (
            {"fairness": {"sensitive": ["a"], "gates": [{"metric": "equalized_odds_difference", "at_least": 0.8}]}},
            "may be demanded to be at_most a bound",
        ),
        (
            {
                "fairness": {
                    "sensitive": ["sex"],
                    "gates": [{"metric": "demographic_parity_ratio", "at_least": 0.8, "column": "sx"}],
                }
            },
            "did you mean 'sex'",
        ),
    ],
)
def test_mistakes_are_refused_with_the_way_out(spec: dict[str, Any], message: str) -> None:
    """Every refusal says what to write instead."""
    with pytest.raises(ConfigurationError, match=message):
        SliceSpec.parse(spec, "slices")


def test_an_empty_discovery_is_the_default_one() -> None:
    """`discovery:` without anything below it searches; leaving it out does not."""
    found = SliceSpec.parse({"discovery": None}, "slices").discovery
    assert found is not None
    assert found.conditions == 2
    assert SliceSpec.parse({"columns": ["a"]}, "slices").discovery is None

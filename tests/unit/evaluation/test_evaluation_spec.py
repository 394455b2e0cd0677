"""The sections evaluation and comparison of a problem."""

import pytest

from fairlead.errors import ConfigurationError
from fairlead.evaluation.spec import ComparisonSpec, EvaluationSpec


def test_kfp_numbers_are_read() -> None:
    """KFP turns integers into floats on the way."""
    assert EvaluationSpec.parse({"minimum_slice_rows": 200.0}, "evaluation").minimum_slice_rows == 200


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gates": [{"metric": "roc_acu", "at_least": 0.6}]}, "did you mean 'roc_auc'"),
        (
            {"gates": [{"metric": "gradient_boosting_logloss", "at_least": 0.6}]},
            "did you mean 'gradient_boosting_log_loss'",
        ),
        ({"gates": [{"metric": "roc_auc"}]}, "add at_least or at_most"),
        ({"gates": [{"metric": "log_loss_minus_majority", "at_most": 0}]}, "add it to baselines"),
        ({"gates": [{"metric": "roc_auc", "atleast": 0.6}]}, "did you mean 'at_least'"),
        ({"baselines": ["random-forest"]}, "gradient-boosting"),
        ({"slice": ["carrier"]}, "did you mean 'slices'"),
    ],
)
def test_wrong_values_name_the_right_ones(values: dict[str, object], words: str) -> None:
    """An error names the place and what is allowed there."""
    with pytest.raises(ConfigurationError) as caught:
        EvaluationSpec.parse(values, "evaluation")
    assert words in str(caught.value)
    assert str(caught.value).startswith("evaluation")


def test_a_gate_on_a_baseline_is_allowed_with_it() -> None:
    """`beat the majority` is a gate."""
    gate = {"metric": "log_loss_minus_majority", "at_most": 0}
    assert EvaluationSpec.parse({"gates": [gate], "baselines": ["majority"]}, "evaluation").gates[0].at_most == 0


def test_comparison_refuses_other_metrics() -> None:
    """Only figures with a paired interval can be compared."""
    with pytest.raises(ConfigurationError, match="log_loss"):
        ComparisonSpec.parse({"metric": "accuracy"}, "comparison")

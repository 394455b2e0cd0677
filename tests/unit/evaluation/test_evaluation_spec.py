"""The sections evaluation and comparison of a problem."""

import pytest

from fairlead.errors import ConfigurationError
from fairlead.evaluation.spec import ComparisonSpec, EvaluationSpec


def test_kfp_numbers_are_read() -> None:
    """KFP turns integers into floats on the way."""
    assert EvaluationSpec.parse({"resamples": 200.0, "cutoffs": [1.0, 3.0]}, "evaluation").cutoffs == (1, 3)


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
        ({"clusters": "carrier"}, "did you mean 'cluster'"),
        ({"gates": [{"metric": "roc_auc", "at_least": 0.6, "at": "lower"}]}, "'low'"),
        ({"gates": [{"metric": "ndcg_at_0", "at_least": 0.6}]}, "there is no metric 'ndcg_at_0'"),
        ({"gates": [{"metric": "squared_error_minus_majority", "at_most": 0}]}, "log_loss_minus_majority"),
        ({"gates": [{"metric": "mean_r2", "at_least": 0}]}, "add it to baselines"),
        ({"cluster": "day", "stratified": True}, "drop one of the two"),
        ({"baselines": ["popularity"]}, "name it as `item`"),
        ({"baselines": ["copy"]}, "name it as `source`"),
        ({"cutoffs": [0]}, "count from 1"),
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


@pytest.mark.parametrize(
    "metric", ["ndcg_at_10", "recall_of_a cat", "root_mean_squared_error", "chrf", "popularity_ndcg", "mean_error"]
)
def test_a_gate_may_name_a_figure_of_any_task(metric: str) -> None:
    """Figures at a rank, of a class, of every task and of its baselines."""
    spec = {"gates": [{"metric": metric, "at_least": 0}], "baselines": ["popularity"], "item": "movie"}
    assert EvaluationSpec.parse(spec, "evaluation").gates[0].metric == metric


def test_comparison_refuses_other_metrics() -> None:
    """Only figures with a paired interval can be compared."""
    with pytest.raises(ConfigurationError, match="log_loss"):
        ComparisonSpec.parse({"metric": "accuracy"}, "comparison")

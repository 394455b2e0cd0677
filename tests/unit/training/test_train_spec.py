"""The sections `model` and `train`."""

from typing import Any

import pytest

from fairlead.errors import ConfigurationError
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.spec import ModelSpec, TrainSpec


def test_kfp_floats_are_whole_numbers() -> None:
    """KFP sends 3 as 3.0; the section still holds integers."""
    spec = TrainSpec.parse({"epochs": 3.0, "processes": 2.0, "seed": 1.0, "budget": {"seconds": 60.0}}, "train")
    assert (spec.epochs, spec.processes, spec.seed) == (3, 2, 1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"epochs": 0}, "train.epochs"),
        ({"epochs": 2.5}, "train.epochs"),
        ({"dropout": 0.5}, r"dropout is an option of the recipe; write it under train\.options"),
        ({"options": {"learning_rate": 0.1}}, "belongs to train, not to train.options"),
        ({"batch_size": 4, "accumulate": 3, "processes": 2}, "more parts than batch_size 4 has rows"),
        ({"strategy": "zero3"}, "'ddp', 'zero2' or 'fsdp'"),
        ({"schedule": "cosin"}, "train.schedule"),
        ({"budget": {"cots": 3}}, "did you mean 'cost'"),
        ({"budget": {"country": "Germany"}}, "train.budget.country"),
        ({"learning_rate": float("nan")}, "train.learning_rate"),
        ({"threads": 0}, "train.threads"),
        ({"precision": "int4"}, "fp32"),
    ],
)
def test_wrong_train_values_are_named(values: dict[str, Any], words: str) -> None:
    """A wrong key or value of `train` is refused with its place."""
    with pytest.raises(ConfigurationError, match=words):
        TrainSpec.parse(values, "train")


def test_texts_of_a_search_space_become_values() -> None:
    """Katib's lists hold only texts; they stand for the values that they spell."""
    given = TrainSpec.parse({"options": {"dropout": 0.5}}, "train")
    spec = given.with_hyperparameters({"hidden": "[32, 16]", "dropout": "0.2", "epochs": 5})
    assert (spec.options, spec.epochs) == ({"hidden": [32, 16], "dropout": 0.2}, 5)


def test_what_a_search_may_change_is_the_section_s_and_the_recipe_s() -> None:
    """Names are flat; what only says where and how training runs is not among them."""
    assert {"learning_rate", "clip_norm", "hidden", "dropout"} <= set(TrainSpec().tunable())
    assert not {"seed", "processes", "budget", "options", "recipe", "memory_gib"} & set(TrainSpec().tunable())


def test_a_wrong_option_from_a_search_is_refused() -> None:
    """By the recipe's own section."""
    with pytest.raises(ConfigurationError, match=r"train\.options\.dropout"):
        TrainSpec().with_hyperparameters({"dropout": 1.5})


@pytest.mark.parametrize(("name", "words"), [("learning_rat", "learning_rate"), ("seed", "cannot be tuned")])
def test_only_hyperparameters_may_be_replaced(name: str, words: str) -> None:
    """A name that may not be tuned is refused, and the nearest is named."""
    with pytest.raises(ConfigurationError, match=words):
        TrainSpec().with_hyperparameters({name: 1})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "no inputs"),
        ({"numeric": ["hour", "hour"]}, "named twice: hour"),
        ({"numeric": ["hour"], "categorical": ["hour"]}, "named twice: hour"),
        ({"numerical": ["hour"]}, "did you mean 'numeric'"),
    ],
)
def test_wrong_inputs_are_refused(values: dict[str, Any], words: str) -> None:
    """A model without inputs, or with one named twice, is refused."""
    with pytest.raises(ConfigurationError, match=words):
        ModelSpec.parse(values, "model")


def test_an_unknown_recipe_names_the_nearest() -> None:
    """A recipe that does not exist is refused with the likeliest name."""
    with pytest.raises(ConfigurationError, match="did you mean 'tabular-network'"):
        find_recipe("tabular-net")

"""What a problem's `model` and `train` sections say."""

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fairlead.errors import ConfigurationError, nearest
from fairlead.sections import Section

FIXED_KEYS = frozenset({"recipe", "seed", "deterministic", "precision", "threads"})


class ModelSpec(Section):
    """Which columns the model sees.

    Attributes:
        categorical: Columns of text or whole numbers that name something; their vocabularies are the training rows'.
        numeric: Columns of numbers.
    """

    categorical: list[str] = []
    numeric: list[str] = []

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.columns:
            raise ValueError("the model has no inputs; name at least one column under categorical or numeric")
        twice = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if twice:
            raise ValueError(f"columns named twice: {', '.join(twice)}; keep each under categorical or numeric, once")
        return self

    @property
    def columns(self) -> list[str]:
        """All input columns: the categorical ones, then the numeric ones."""
        return [*self.categorical, *self.numeric]


class TrainSpec(Section):
    """How the model is trained.

    Attributes:
        recipe: A name from `fairlead.training.recipes.registry`.
        epochs: Passes over the training rows, at most.
        batch_size: Rows of one step.
        learning_rate: The highest learning rate; it warms up to it and then falls on a cosine.
        weight_decay: Decoupled weight decay (AdamW).
        hidden: Widths of the hidden layers; none makes it a linear model over the embeddings.
        dropout: Share of hidden units left out at each step.
        patience: Epochs without a better validation log loss after which training stops.
        seed: Of everything that is random; the same seed gives the same weights, bit by bit.
        deterministic: Refuse operations that are not deterministic.
        precision: Of the arithmetic.
        threads: CPU threads; where None the recipe takes what pays: one for a small network, all cores for a large one.
    """

    recipe: str = "tabular-network"
    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=1024, ge=1)
    learning_rate: float = Field(default=0.003, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.0001, ge=0, allow_inf_nan=False)
    hidden: list[int] = [128, 64]
    dropout: float = Field(default=0.1, ge=0, lt=1)
    patience: int = Field(default=2, ge=1)
    seed: int = Field(default=7, ge=0, lt=2**32)
    deterministic: bool = True
    precision: Literal["fp32"] = "fp32"
    threads: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden layers need at least one unit each, got {self.hidden}")
        return self

    def with_hyperparameters(self, values: Mapping[str, Any]) -> Self:
        """Gives a copy with other hyperparameters.

        Args:
            values: Keys of this section that may be tuned. A text stands for the JSON value that it spells, because
                Katib's search spaces hold only texts: `"[128, 64]"`.

        Returns:
            The copy.

        Raises:
            ConfigurationError: A key is none of this section or may not be tuned, or a value is not allowed.
        """
        for name in values:
            if name not in self.tunable():
                raise ConfigurationError(f"hyperparameter {name!r} cannot be tuned; {nearest(name, self.tunable())}")
        plain = {name: _from_text(value) for name, value in values.items()}
        return type(self).parse({**self.model_dump(), **plain}, where="train")

    @classmethod
    def tunable(cls) -> list[str]:
        """The keys that a search may change."""
        return sorted(set(cls.model_fields) - FIXED_KEYS)


def _from_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value

"""The recipe `tabular-network`: a small network for tables."""

from typing import TYPE_CHECKING, cast

from pydantic import Field, field_validator

from fairlead.sections import Section
from fairlead.training import images, tabular
from fairlead.training.recipes.protocol import Design
from fairlead.training.recipes.torch_recipe import TorchRecipe

if TYPE_CHECKING:
    from torch import Generator, nn

    from fairlead.training.recipes.learning import Inputs

HIDDEN_CATEGORIES = 0.01  # share of known categories that training hides, to learn what an unknown one means


class TabularOptions(Section):
    """The options of `tabular-network`.

    Attributes:
        hidden: Widths of the hidden layers; none makes it a linear model over encoded numbers and embeddings.
        dropout: Share of hidden units left out at each step.
    """

    hidden: list[int] = Field(default=[128, 64])
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @field_validator("hidden")
    @classmethod
    def _check_widths(cls, widths: list[int]) -> list[int]:
        if any(width < 1 for width in widths):
            raise ValueError(f"hidden layers need at least one unit each, got {widths}")
        return widths


class TabularNetworkRecipe(TorchRecipe):
    """Embeddings for categories, imputed, standardised and piecewise linearly encoded numbers, an MLP."""

    options = TabularOptions
    takes = ("tables",)

    def make_module(self, design: Design, train: "tabular.Rows | images.Pictures | None" = None) -> "nn.Module":
        """Makes the network; see `TorchRecipe.make_module`."""
        from fairlead.training.recipes.network import Statistics, TabularNetwork

        options = cast("TabularOptions", self.options_of(design.spec))
        known = Statistics.of(train.numeric) if isinstance(train, tabular.Rows) else None
        statistics = known or Statistics.blank(len(design.model.numeric))
        return TabularNetwork(statistics, design.vocabulary_sizes, options.hidden, options.dropout, design.outputs)

    def augment(self, design: Design, inputs: "Inputs", generator: "Generator") -> "Inputs":
        """Hides some categories; see `TorchRecipe.augment`."""
        from fairlead.training.recipes.network import hide_categories

        del design
        numeric, categorical = inputs
        return numeric, hide_categories(categorical, HIDDEN_CATEGORIES, generator)

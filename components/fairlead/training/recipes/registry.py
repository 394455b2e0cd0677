"""The recipes by name."""

from importlib import import_module
from typing import cast

from fairlead.errors import ConfigurationError, nearest
from fairlead.training.recipes.protocol import Recipe

RECIPES = {"tabular-network": "fairlead.training.recipes.tabular_network:TabularNetworkRecipe"}


def find_recipe(name: str) -> Recipe:
    """Makes a recipe; only the one that is asked for is imported.

    Args:
        name: A key of `RECIPES`.

    Returns:
        The recipe.

    Raises:
        ConfigurationError: There is no such recipe.
    """
    if name not in RECIPES:
        raise ConfigurationError(f"train.recipe: there is no recipe {name!r}; {nearest(name, RECIPES)}")
    module, _, attribute = RECIPES[name].partition(":")
    return cast("Recipe", getattr(import_module(module), attribute)())

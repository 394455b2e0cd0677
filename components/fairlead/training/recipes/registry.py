"""The recipes by name, and a user's own by module and class."""

import hashlib
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from fairlead.errors import ConfigurationError, nearest
from fairlead.sections import Section
from fairlead.source_files import execute

if TYPE_CHECKING:
    from fairlead.training.recipes.protocol import Recipe

RECIPES = {
    "tabular-network": "fairlead.training.recipes.tabular_network:TabularNetworkRecipe",
    "gradient-boosting": "fairlead.training.recipes.gradient_boosting:GradientBoostingRecipe",
    "image-classifier": "fairlead.training.recipes.image_classifier:ImageClassifierRecipe",
}
METHODS = ("objective", "length", "load", "prepare", "fit", "fit_trial", "graph")


def find_recipe(name: str) -> "Recipe":
    """Makes a recipe; only the one that is asked for is imported.

    Args:
        name: A key of `RECIPES`; `my_package.my_module:MyRecipe`, a class of an importable module; or
            `/path/to/my_module.py:MyRecipe`, a class of one file. Code of the last two runs as part of the training.

    Returns:
        The recipe.

    Raises:
        ConfigurationError: There is no such recipe, its module cannot be imported, or the class is no recipe.
    """
    if ":" not in name and name not in RECIPES:
        hint = nearest(name, RECIPES)
        raise ConfigurationError(f"train.recipe: there is no recipe {name!r}; {hint}, or name your own: module:Class")
    module, _, attribute = RECIPES.get(name, name).rpartition(":")
    return cast("Recipe", _make(name, _import(name, module), attribute))


def locate_recipe(name: str, folder: Path | str) -> str:
    """Makes a recipe's name independent of where it is used.

    Args:
        name: As the problem file has it.
        folder: The problem file's folder.

    Returns:
        `/absolute/path/my_module.py:MyRecipe` where the name means a file in the folder (`my_module:MyRecipe` or
        `my_module.py:MyRecipe`); else the name as it is: a recipe of fairlead's, or of an installed module.
    """
    module, colon, attribute = name.rpartition(":")
    if not colon or name in RECIPES:
        return name
    relative = module if module.endswith(".py") else f"{module.replace('.', '/')}.py"
    path = Path(folder, relative).resolve()
    return f"{path}:{attribute}" if path.is_file() else name


def _import(name: str, module: str) -> ModuleType:
    if module.endswith(".py"):
        return _import_file(name, Path(module))
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module and not module.startswith(f"{error.name}."):
            raise ConfigurationError(f"train.recipe {name!r}: {module} needs {error.name!r}; install it") from error
        raise ConfigurationError(
            f"train.recipe {name!r}: there is no module {module!r} to import; install the package that holds it (in a "
            f"cluster: into the training image), or name the file: /path/to/{module.rpartition('.')[2]}.py:Class"
        ) from None
    except (ImportError, SyntaxError, TypeError, ValueError, AttributeError, NameError) as error:
        raise ConfigurationError(f"train.recipe {name!r}: {module} cannot be imported: {error!r}") from error


def _import_file(name: str, path: Path) -> ModuleType:
    """Imports one file under a name of its own; the same file is imported once in a process."""
    if not path.is_file():
        where = "" if path.is_absolute() else f" (looked from {Path.cwd()})"
        raise ConfigurationError(
            f"train.recipe {name!r}: there is no file {path}{where}; in a cluster the training image must hold it"
        )
    full = path.resolve()
    alias = f"fairlead_recipe_{full.stem}_{hashlib.sha256(str(full).encode()).hexdigest()[:12]}"
    if alias in sys.modules:
        return sys.modules[alias]
    try:
        return execute(full, alias)
    except (ImportError, SyntaxError, TypeError, ValueError, AttributeError, NameError) as error:
        raise ConfigurationError(f"train.recipe {name!r}: {full} cannot be imported: {error!r}") from error


def _make(name: str, module: ModuleType, attribute: str) -> Any:
    made = getattr(module, attribute, None)
    if not isinstance(made, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and key.endswith("Recipe")]
        raise ConfigurationError(
            f"train.recipe {name!r}: the module has no class {attribute!r}; {nearest(attribute, classes)}"
        )
    absent = [method for method in METHODS if not callable(getattr(made, method, None))]
    if absent:
        raise ConfigurationError(
            f"train.recipe {name!r}: {attribute} lacks {', '.join(absent)}; it must have what "
            "fairlead.training.recipes.protocol.Recipe has (a subclass of TorchRecipe does)"
        )
    options = getattr(made, "options", None)
    if not (isinstance(options, type) and issubclass(options, Section)):
        raise ConfigurationError(
            f"train.recipe {name!r}: {attribute}.options is {options!r}; it must be a subclass of "
            "fairlead.sections.Section"
        )
    try:
        return made()
    except TypeError as error:
        raise ConfigurationError(
            f"train.recipe {name!r}: {attribute}() fails: {error}; recipes take no arguments"
        ) from None

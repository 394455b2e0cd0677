"""A user's own recipe: found by module or by file, refused with a reason where it is none."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.recipes.recipe_rows import LABELS, TASKS, fit_recipe, mixed_table, task_model, write_pair

from fairlead.errors import ConfigurationError, DataError, SourceError
from fairlead.optimization.export_model.task import export
from fairlead.training.recipes.registry import RECIPES, find_recipe, locate_recipe
from fairlead.training.recipes.torch_recipe import TorchRecipe
from fairlead.training.spec import TrainSpec
from fairlead_serving.package import ModelPackage

OWN = '''
from pydantic import Field
from fairlead.sections import Section
from fairlead.training.recipes.torch_recipe import TorchRecipe

class WideOptions(Section):
    """Options.

    Attributes:
        width: Of the hidden layer.
    """

    width: int = Field(default=8, ge=1)

class WideRecipe(TorchRecipe):
    """One hidden layer over the numbers."""

    options = WideOptions
    takes = ("tables",)

    def make_module(self, design, train=None):
        from torch import nn

        class Wide(nn.Module):
            def __init__(self, columns, width, outputs):
                super().__init__()
                self.layers = nn.Sequential(nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, outputs))
                self.outputs = outputs

            def forward(self, numeric, categorical):
                raw = self.layers(numeric.nan_to_num(0.0) / 100)
                return raw.squeeze(1) if self.outputs == 1 else raw

        return Wide(len(design.model.numeric), self.options_of(design.spec).width, design.outputs)

class NoRecipe:
    options = WideOptions

class BadOptions(TorchRecipe):
    options = dict

class Picky(TorchRecipe):
    def __init__(self, size):
        self.size = size
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a recipe, and things that are none."""
    path = tmp_path_factory.mktemp("own") / "my_recipes.py"
    path.write_text(OWN)
    return path


@pytest.mark.parametrize("task", TASKS)
def test_a_recipe_of_one_file_goes_all_the_way(file: Path, tmp_path: Path, task: str) -> None:
    """It is trained, exported and answers, in every task, with its own options; the same file is imported once."""
    paths = write_pair(tmp_path, mixed_table(200), mixed_table(100, 1))
    name, model = f"{file}:WideRecipe", task_model(task, categorical=[])
    train: dict[str, Any] = {"recipe": name, "epochs": 2, "batch_size": 32, "options": {"width": 4.0}}
    data, fitted = fit_recipe(paths, model, train, LABELS[task], tmp_path / "c")
    own = fitted.weights.get("layers.0.weight", fitted.weights.get("network.layers.0.weight"))
    assert own.shape == (4, 3)
    done = export(
        tmp_path / "c", paths[1], tmp_path / "p", name="m", label=LABELS[task], request={}, feature_service=""
    )
    assert ModelPackage.open(tmp_path / "p", done.digest).manifest.task == task
    assert data.design.spec.options == {"width": 4.0}
    assert type(find_recipe(name)) is type(find_recipe(name))


def test_an_importable_module_is_a_recipe_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`module:Class`, wherever Python finds the module; that is how a cluster knows it."""
    monkeypatch.syspath_prepend(str(file.parent))
    monkeypatch.delitem(sys.modules, "my_recipes", raising=False)
    assert type(find_recipe("my_recipes:WideRecipe")).__name__ == "WideRecipe"
    assert TrainSpec(recipe="my_recipes:WideRecipe").with_hyperparameters({"width": "16"}).options == {"width": 16}


def test_a_file_beside_the_problem_is_found(file: Path) -> None:
    """A name that means a file in the problem's folder becomes its path; other names stay."""
    folder = file.parent
    for name in ("my_recipes:WideRecipe", "my_recipes.py:WideRecipe", f"{file}:WideRecipe"):
        assert locate_recipe(name, folder) == f"{file.resolve()}:WideRecipe"
    for name in (*RECIPES, "package.module:Recipe"):
        assert locate_recipe(name, folder) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tabular-netwrk", "did you mean 'tabular-network'.*or name your own: module:Class"),
        ("{file}:WideRecip", "no class 'WideRecip'; did you mean 'WideRecipe'"),
        ("{file}:NoRecipe", "NoRecipe lacks objective, length, load, prepare, fit, fit_trial, graph"),
        ("{file}:BadOptions", "must be a subclass of fairlead.sections.Section"),
        ("{file}:Picky", "recipes take no arguments"),
        ("/nowhere/x.py:A", "there is no file /nowhere/x.py"),
        ("no_such_module_here:A", "no module 'no_such_module_here' to import; install the package"),
        ("no_such.module:A", "no module 'no_such.module' to import"),
    ],
)
def test_what_is_no_recipe_is_refused(file: Path, name: str, words: str) -> None:
    """The reason is said, with the nearest name or what to do."""
    with pytest.raises(ConfigurationError, match=words):
        find_recipe(name.format(file=file))


@pytest.mark.parametrize(
    ("text", "words"),
    [("import no_such_library", "no_such_library"), ("def broken(:", "SyntaxError"), ("1 + 'a'", "TypeError")],
)
def test_a_file_that_cannot_be_imported_says_why(tmp_path: Path, text: str, words: str) -> None:
    """What Python says is passed on."""
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        find_recipe(f"{tmp_path / 'broken.py'}:Recipe")


def test_a_base_class_alone_is_no_model(tmp_path: Path) -> None:
    """A subclass without a module is told what to write."""
    paths = write_pair(tmp_path, mixed_table(50), mixed_table(50, 1))
    recipe = TorchRecipe()
    data = recipe.prepare(*paths, task_model("binary"), TrainSpec(), "yes")
    with pytest.raises(ConfigurationError, match="no make_module"):
        recipe.fit_trial(data, lambda *_: None)


def test_weights_of_another_design_are_refused(tmp_path: Path) -> None:
    """Stored weights that do not fit are a broken checkpoint."""
    paths = write_pair(tmp_path, mixed_table(50), mixed_table(50, 1))
    data, fitted = fit_recipe(paths, task_model("binary"), {"epochs": 1, "options": {"hidden": [4]}}, "yes")
    other = data.with_spec(TrainSpec(options={"hidden": [5]})).design
    with pytest.raises(SourceError, match="do not fit its own description"):
        find_recipe("tabular-network").graph(fitted.weights, other)


def test_a_validation_class_that_training_lacks_is_refused(tmp_path: Path) -> None:
    """It could never be predicted; the text names it."""
    table = mixed_table(100)
    lacking = table.filter(np.array(table["kind"].to_pylist()) != "top")
    paths = write_pair(tmp_path, lacking, table)
    with pytest.raises(DataError, match="no training row has: 'top'"):
        fit_recipe(paths, task_model("multiclass"), {"epochs": 1}, "kind")

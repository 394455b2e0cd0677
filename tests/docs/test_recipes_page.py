"""docs/recipes.md: its own recipe trains and is exported, its options are those of the code."""

import re
from pathlib import Path

import pytest
import yaml
from unit.recipes.recipe_rows import fit_recipe, mixed_table, task_model, write_pair

from fairlead.optimization.export_model.task import export
from fairlead.training.recipes.image_classifier import ImageOptions
from fairlead.training.recipes.registry import RECIPES, find_recipe, locate_recipe
from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead_serving.package import OUTPUTS, ModelPackage

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def text(repository: Path) -> str:
    """The page."""
    return (repository / "docs" / "recipes.md").read_text()


def test_the_own_recipe_goes_all_the_way(text: str, tmp_path: Path) -> None:
    """The file as printed, beside a problem file with the section as printed, becomes a package that answers."""
    (code,) = (content for kind, content in BLOCK.findall(text) if kind == "python")
    (tmp_path / "my_recipe.py").write_text(code)
    train = next(
        section["train"]
        for section in (yaml.safe_load(content) for kind, content in BLOCK.findall(text) if kind == "yaml")
        if "my_recipe" in section["train"]["recipe"]
    )
    name = locate_recipe(train["recipe"], tmp_path)
    assert name == f"{(tmp_path / 'my_recipe.py').resolve()}:WideRecipe"
    paths = write_pair(tmp_path, mixed_table(300), mixed_table(150, 1))
    model = task_model("multiclass", categorical=[])
    fit_recipe(paths, model, {**train, "recipe": name}, "kind", tmp_path / "checkpoint")
    done = export(
        tmp_path / "checkpoint", paths[1], tmp_path / "package", name="m", label="kind", request={}, feature_service=""
    )
    package = ModelPackage.open(tmp_path / "package", done.digest)
    assert package.predict({"size": [1.0], "gap": [None], "same": [1.0]})["probability"].shape == (1, 3)


def test_every_section_on_the_page_is_valid(text: str) -> None:
    """Models, hyperparameters and options parse."""
    for kind, content in BLOCK.findall(text):
        section = yaml.safe_load(content) if kind == "yaml" else {}
        if "model" in section:
            ModelSpec.parse(section["model"], "model")
        if "train" in section and "my_recipe" not in section["train"]["recipe"]:
            spec = TrainSpec.parse(section["train"], "train")
            find_recipe(spec.recipe).options.parse(spec.options, "train.options")


def test_recipes_tasks_and_options_are_all_told(text: str) -> None:
    """Nothing that can be set is missing from the page."""
    for name in (*RECIPES, *OUTPUTS, *OUTPUTS.values()):
        assert f"`{name}`" in text, name
    for recipe in RECIPES:
        for option in find_recipe(recipe).options.model_fields:
            assert f"`{option}`" in text, option
    assert ImageOptions().widths == [16, 32, 64]

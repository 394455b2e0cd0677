"""image-classifier: two phases, moved pictures, stored weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from unit.recipes.recipe_rows import PICTURES_MODEL, fit_recipe, picture_table, write_pair

from fairlead.errors import ConfigurationError, SourceError
from fairlead.training.recipes.augmentation import move_images
from fairlead.training.recipes.image_classifier import ImageClassifierRecipe, ImageOptions
from fairlead.training.recipes.protocol import Design
from fairlead.training.spec import ModelSpec, TrainSpec

MODEL = ModelSpec.parse(PICTURES_MODEL, "model")
OPTIONS: dict[str, Any] = {"widths": [8, 8], "depths": [1, 1], "head": [8]}
TRAIN: dict[str, Any] = {
    "recipe": "image-classifier", "epochs": 4, "batch_size": 16, "learning_rate": 0.01, "options": OPTIONS,
}  # fmt: skip


def design(shape: tuple[int, int, int] = (8, 8, 1), **options: Any) -> Design:
    """A design of two classes."""
    spec = TrainSpec.parse({**TRAIN, "options": {**OPTIONS, **options}}, "train")
    return Design(MODEL, spec, classes=("left", "right"), image_shape=shape)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Training and validation pictures."""
    return write_pair(tmp_path_factory.mktemp("pictures"), picture_table(200), picture_table(80, 1))


def test_it_learns(paths: tuple[Path, Path]) -> None:
    """Most pictures of a simple kind are told apart after some epochs; the classes are the labels' texts."""
    data, fitted = fit_recipe(paths, MODEL, {**TRAIN, "epochs": 8, "patience": 8}, "label")
    assert data.design.classes == ("left", "right")
    assert data.design.image_shape == (8, 8, 1)
    assert data.statistics["grey"]["mean"] == pytest.approx(data.train.pixels.mean())
    assert fitted.best.validation["validation_accuracy"] > 0.8


def test_the_first_phase_trains_the_head_only(paths: tuple[Path, Path]) -> None:
    """Features stay as they were made while the head learns; then everything moves."""
    first, both = (
        ImageClassifierRecipe().phases(design(head_epochs=2)),
        ImageClassifierRecipe().phases(design(head_epochs=9)),
    )
    assert [(phase.name, phase.epochs) for phase in first] == [("head on random features", 2), ("all", 2)]
    assert [phase.epochs for phase in both] == [3, 1]
    assert not ImageClassifierRecipe().phases(design(head_epochs=0))
    assert first[0].trainable("head.0.weight")
    assert not first[0].trainable("backbone.0.weight")
    recipe = ImageClassifierRecipe()
    data, fitted = fit_recipe(paths, MODEL, {**TRAIN, "epochs": 2, "patience": 9}, "label")
    fresh = recipe.learnable(data).module.state_dict()
    after_head = next(epoch for epoch in fitted.epochs if epoch.epoch == 1)
    assert after_head.validation
    only_head = TrainSpec.parse({**TRAIN, "epochs": 2, "learning_rate": 1e-9, "weight_decay": 0, "options": {
        **OPTIONS, "head_learning_rate": 0.01}}, "train")  # fmt: skip
    weights = recipe.fit_trial(data.with_spec(only_head), lambda *_: None).weights
    moved = {name for name in weights if not np.allclose(weights[name], fresh[name].numpy(), atol=1e-6)}
    parameters = {name for name, _ in recipe.learnable(data).module.named_parameters()}
    assert {name for name in parameters if name.startswith("head.")} <= moved
    assert not {name for name in parameters if name.startswith("backbone.")} & moved


def test_the_last_layers_see_each_cell_or_their_mean() -> None:
    """Few cells are seen one by one; many, and a ResNet's, as their mean."""
    small = ImageClassifierRecipe().make_module(design())
    large = ImageClassifierRecipe().make_module(design((40, 40, 3)))
    resnet = ImageClassifierRecipe().make_module(design((16, 16, 3), network="resnet", embedding=4))
    assert [m.head[0].in_features for m in (small, large, resnet)] == [8 * 2 * 2, 8, 8]  # type: ignore[union-attr,index]
    for module, shape in ((small, (8, 8, 1)), (large, (40, 40, 3)), (resnet, (16, 16, 3))):
        assert module(torch.zeros(2, *shape, dtype=torch.uint8)).shape == (2, 2)


def test_a_last_batch_of_one_can_be_learnt(paths: tuple[Path, Path]) -> None:
    """Batch norm has no variance of one row: it comes twice, with the same mean loss."""
    data, _ = fit_recipe(paths, MODEL, {**TRAIN, "epochs": 1}, "label")
    learnable = ImageClassifierRecipe().learnable(data)
    twice, label = learnable.batch(torch.tensor([3]), torch.Generator())
    assert (len(twice), len(label)) == (2, 2)
    assert torch.equal(twice[0], twice[1])


def test_too_many_stages_are_refused() -> None:
    """Nothing would be left of the image."""
    with pytest.raises(ConfigurationError, match="leave nothing of 8 x 8"):
        ImageClassifierRecipe().make_module(design(widths=[4] * 4, depths=[1] * 4))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"widths": [8]}, "same number of stages"),
        ({"widths": [0, 8]}, "whole numbers from 1"),
        ({"network": "vit"}, "network"),
        ({"zoom": 1.0}, "zoom"),
        ({"weight": "x"}, "did you mean 'weights'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    """Each says what is wrong."""
    with pytest.raises(ConfigurationError, match=words):
        ImageClassifierRecipe().options_of(design(**options).spec)


def test_tables_and_mixtures_are_refused(paths: tuple[Path, Path]) -> None:
    """An image and columns at once are another recipe's."""
    with pytest.raises(ConfigurationError, match="for these use tabular-network"):
        fit_recipe(paths, ModelSpec(task="multiclass", numeric=["a"]), TRAIN, "label")
    with pytest.raises(ConfigurationError, match="not both"):
        fit_recipe(paths, ModelSpec(task="multiclass", image="picture", numeric=["a"]), TRAIN, "label")
    with pytest.raises(ConfigurationError, match="cannot do task ranking"):
        fit_recipe(paths, ModelSpec(task="ranking", group="g", image="picture"), TRAIN, "label")


def pixels(count: int = 6, channels: int = 3) -> torch.Tensor:
    """Random pictures that are wider than high."""
    return torch.randint(
        0, 256, (count, 9, 12, channels), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def moved(given: torch.Tensor, seed: int = 0, **changes: Any) -> torch.Tensor:
    """Moves pictures."""
    allowed: dict[str, Any] = {"shift": 0.0, "rotate": 0.0, "zoom": 0.0, "flip": False, **changes}
    return move_images(given, torch.Generator().manual_seed(seed), **allowed)


def test_no_movement_changes_nothing() -> None:
    """With all limits at zero the pictures are as they were; whatever is moved has shape and type."""
    assert torch.equal(moved(pixels()), pixels())
    turned = moved(pixels(), shift=3, rotate=30, zoom=0.2, flip=True)
    assert (turned.shape, turned.dtype) == (pixels().shape, torch.uint8)
    assert not torch.equal(turned, pixels())


def test_flipping_mirrors_about_half() -> None:
    """Each picture is itself or its mirror image."""
    given, turned = pixels(200), moved(pixels(200), flip=True)
    same, mirrored = (given == turned).flatten(1).all(1), (given.flip(2) == turned).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 60 < int(mirrored.sum()) < 140


def test_only_the_generator_moves() -> None:
    """The same seed moves alike, another one otherwise, and torch's own generator is left alone."""
    state = torch.random.get_rng_state()
    assert torch.equal(moved(pixels(), 3, shift=2), moved(pixels(), 3, shift=2))
    assert not torch.equal(moved(pixels(), 3, shift=2), moved(pixels(), 4, shift=2))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_shift_is_at_most_as_large_as_it_may_be() -> None:
    """A bright dot stays within the limit."""
    dot = torch.zeros(300, 21, 21, 1, dtype=torch.uint8)
    dot[:, 10, 10] = 255
    rows, columns = (moved(dot, shift=3).float().mean(0)[..., 0] > 0).nonzero().T
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (7, 13, 7, 13)


def test_stored_weights_are_taken(paths: tuple[Path, Path], tmp_path: Path) -> None:
    """A checkpoint's features are where the next training starts; its head is not taken."""
    _, fitted = fit_recipe(paths, MODEL, TRAIN, "label", tmp_path / "checkpoint")
    data, _ = fit_recipe(paths, MODEL, {**TRAIN, "epochs": 1, "options": {**OPTIONS, "head": [4]}}, "label")
    chosen = design(head=[4], weights=str(tmp_path / "checkpoint"))
    learnable = ImageClassifierRecipe().learnable(data.with_spec(chosen.spec))
    state = learnable.module.state_dict()
    assert np.array_equal(state["backbone.0.weight"].numpy(), fitted.weights["backbone.0.weight"])
    assert ImageClassifierRecipe().phases(chosen)[0].name == "head on stored features"


def test_transformers_own_files_are_taken(tmp_path: Path) -> None:
    """What `save_pretrained` wrote for colour fills a ResNet for grey: the first layer is summed over colours."""
    from transformers import ResNetConfig, ResNetForImageClassification

    from fairlead.training.recipes.pretrained import load_backbone

    config = ResNetConfig(num_channels=3, embedding_size=4, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic")
    theirs = ResNetForImageClassification(config)
    theirs.save_pretrained(tmp_path)
    ours = ImageClassifierRecipe().make_module(design((16, 16, 1), network="resnet", embedding=4))
    backbone: Any = ours.backbone
    load_backbone(backbone, tmp_path)
    first = theirs.resnet.embedder.embedder.convolution.weight
    assert torch.allclose(backbone.resnet.embedder.embedder.convolution.weight, first.sum(1, keepdim=True))
    wider: Any = ImageClassifierRecipe().make_module(design((16, 16, 1), network="resnet", embedding=8)).backbone
    with pytest.raises(ConfigurationError, match=r"widths: \[8, 8\], depths: \[1, 1\], embedding: 4"):
        load_backbone(wider, tmp_path)


def test_no_weights_is_an_error(tmp_path: Path) -> None:
    """A folder without safetensors, or with a broken file, is named."""
    from fairlead.training.recipes.pretrained import load_backbone

    backbone: Any = ImageClassifierRecipe().make_module(design()).backbone
    with pytest.raises(SourceError, match=r"holds no \*\.safetensors"):
        load_backbone(backbone, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(SourceError, match="cannot be read"):
        load_backbone(backbone, tmp_path)


def test_numbers_can_be_learnt_from_pictures(tmp_path: Path) -> None:
    """Regression: the answer is in the label's unit, whatever that is."""
    import pyarrow as pa

    tables = []
    for seed in (0, 1):
        table = picture_table(120, seed)
        value = np.where(np.array(table["label"].to_pylist()) == "left", 1000.0, 3000.0)
        tables.append(table.append_column("value", pa.array(value)))
    paths = write_pair(tmp_path, *tables)
    model = ModelSpec(task="regression", image="picture")
    _, fitted = fit_recipe(paths, model, {**TRAIN, "epochs": 8, "patience": 8}, "value")
    assert fitted.best.validation["validation_rmse"] < 900
    assert float(fitted.weights["center"]) == pytest.approx(2000, abs=150)


def test_options_have_defaults() -> None:
    """The defaults are a whole, small network without augmentation."""
    assert not ImageOptions().changes
    assert ImageOptions(shift=1).changes

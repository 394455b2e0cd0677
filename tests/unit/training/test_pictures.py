"""Image columns become arrays of bytes, batch by batch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from unit.recipes.recipe_rows import PICTURES_MODEL, picture_table, write_pair

from fairlead.datasets import write_dataset
from fairlead.errors import DataError, SchemaError
from fairlead.training import images
from fairlead.training.spec import ModelSpec
from fairlead_serving.images import read_images, write_png

MODEL = ModelSpec.parse(PICTURES_MODEL, "model")


def picture(height: int = 4, width: int = 6, channels: int = 1, value: int = 7) -> bytes:
    """One PNG file."""
    return write_png(np.full((height, width, channels), value, np.uint8))


def write(path: Path, files: Sequence[bytes | None]) -> Path:
    """A dataset of pictures."""
    table = pa.table({"picture": pa.array(files, pa.binary()), "label": [f"c{i % 2}" for i in range(len(files))]})
    write_dataset(path, [table], table.schema, name="pictures", source="tests")
    return path


def test_pictures_and_classes_are_read(tmp_path: Path) -> None:
    """The same pixels that serving reads, in the dataset's order; class numbers follow the sorted classes."""
    table = picture_table(700)
    train, validation, classes = images.read_pair(*write_pair(tmp_path, table, picture_table(50, 1)), MODEL, "label")
    assert np.array_equal(train.pixels, read_images("picture", table["picture"].to_pylist(), (8, 8, 1)))
    assert classes == ("left", "right")
    assert [classes[k] for k in train.label] == table["label"].to_pylist()
    assert (train.label.dtype, len(validation)) == (np.int64, 50)


def test_only_the_latest_are_taken(tmp_path: Path) -> None:
    """A search reads the last rows only, with their labels."""
    table = picture_table(700)
    train, _, _ = images.read_pair(*write_pair(tmp_path, table, table), MODEL, "label", 300)
    whole = read_images("picture", table["picture"].to_pylist()[400:], (8, 8, 1))
    assert np.array_equal(train.pixels, whole)
    assert len(train.label) == 300


def test_colour_decides_the_channels(tmp_path: Path) -> None:
    """One picture in colour makes all of them three planes; grey ones stay one."""
    assert images.find_shape(write(tmp_path / "grey", [picture()] * 3), "picture") == (4, 6, 1)
    assert images.find_shape(write(tmp_path / "mixed", [picture(), picture(channels=3)]), "picture") == (4, 6, 3)
    assert images.read_pixels(tmp_path / "mixed", "picture", (4, 6, 3)).shape == (2, 4, 6, 3)


def test_faulty_pictures_are_named(tmp_path: Path) -> None:
    """Sizes that differ and files that are none are refused, the latter by row."""
    with pytest.raises(DataError, match=r"several sizes .4 x 6, 5 x 6"):
        images.find_shape(write(tmp_path / "sizes", [picture(), picture(5)]), "picture")
    with pytest.raises(DataError, match="row 1: 'picture' is no readable PNG or JPEG"):
        images.find_shape(write(tmp_path / "none", [picture(), b"text"]), "picture")
    late = write(tmp_path / "late", [picture()] * 400 + [picture(5)] + [picture()] * 10)
    with pytest.raises(DataError, match="row 400: 'picture' is an image of 5 x 6"):
        images.read_pixels(late, "picture", (4, 6, 1))
    absent = write(tmp_path / "absent", [picture()] * 300 + [None])
    with pytest.raises(DataError, match="row 300: 'picture' is missing"):
        images.read_pixels(absent, "picture", (4, 6, 1))


def test_a_column_that_holds_no_files_is_refused(tmp_path: Path) -> None:
    """Text is no image."""
    table = pa.table({"picture": ["a"] * 30, "label": ["x", "y"] * 15})
    with pytest.raises(SchemaError, match="'picture' is string; an image column holds PNG or JPEG"):
        images.read_pair(*write_pair(tmp_path, table, table), MODEL, "label")


def test_many_pictures_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is short the array is a file without a name; where the disk is full too, it says so."""
    monkeypatch.setattr(images, "free_memory", lambda: 1000)
    path = write(tmp_path / "rows", [picture(value=i) for i in range(60)])
    pixels = images.read_pixels(path, "picture", (4, 6, 1))
    assert isinstance(pixels, np.memmap)
    assert pixels[:, 0, 0, 0].tolist() == list(range(60))
    with pytest.raises(DataError, match="use smaller or fewer pictures"):
        images.allocate((2**24, 2**12, 2**12, 1))


def test_free_memory_is_that_of_this_machine() -> None:
    """More than nothing, and less than a thousand terabytes."""
    assert 2**20 < images.free_memory() < 2**60


def test_pixels_are_described() -> None:
    """Mean, deviation and median of each channel over all pictures, exactly."""
    pixels = np.random.default_rng(0).integers(0, 256, (600, 3, 5, 3), dtype=np.uint8)
    for channel, described in enumerate(images.describe_pixels(pixels).values()):
        values = pixels[..., channel].astype(np.float64)
        assert described["mean"] == pytest.approx(values.mean())
        assert described["standard_deviation"] == pytest.approx(values.std())
        assert described["median"] == pytest.approx(np.median(values), abs=1)
    assert list(images.describe_pixels(pixels[..., :1])) == ["grey"]

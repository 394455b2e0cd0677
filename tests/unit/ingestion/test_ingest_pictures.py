"""Pictures come in as columns of pixels, as files in folders and as bytes in Parquet; broken ones are found."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fairlead.datasets import read_manifest, read_table, write_dataset
from fairlead.errors import ConfigurationError, DataError, SchemaError, SourceError
from fairlead.ingestion.augment_dataset.spec import AugmentationSpec
from fairlead.ingestion.augment_dataset.task import augment, change
from fairlead.ingestion.ingest_dataset.task import ingest
from fairlead.ingestion.validate_dataset.task import validate
from fairlead_serving.images import read_images, read_picture, write_png

CHANCE = np.random.default_rng(0)
PIXELS = CHANCE.integers(0, 256, (5, 2, 3, 1), dtype=np.uint8)
LABELS = ["a", "b", "a", "b", "c"]
PIXEL_TABLE = {"header": False, "names": ["pixel0..pixel5", "class"], "pixels": {"shape": [2.0, 3.0, 1.0]}}


def write_pixels(path: Path, pixels: Any = PIXELS) -> Path:
    """Write a table without header: six pixels and a class on each line."""
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([*image.ravel(), name] for image, name in zip(pixels, LABELS, strict=True))
    return path


def write_folders(root: Path, suffix: str = ".png") -> Path:
    """Write the pictures as files in folders named after their classes."""
    for number, (pixels, name) in enumerate(zip(PIXELS, LABELS, strict=True)):
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(root / name / f"{number}{suffix}")
    return root


def pictures(path: Path, contents: list[bytes | None]) -> Path:
    """Write a dataset of pictures and numbers."""
    table = pa.table({"image": pa.array(contents, pa.binary()), "n": pa.array(range(len(contents)), pa.int64())})
    write_dataset(path, [table], table.schema, name="pictures", source="made")
    return path


@pytest.mark.parametrize("columns", [{}, {"class": "string"}])
def test_columns_of_pixels_become_pictures(tmp_path: Path, columns: dict[str, str]) -> None:
    """The pixels come back exactly, whether the other columns are declared or not."""
    source = write_pixels(tmp_path / "digits.csv")
    ingest(tmp_path / "out", "digits", str(source), {**PIXEL_TABLE, "columns": columns})
    table = read_table(tmp_path / "out")
    assert table.column_names == ["image", "class"]
    assert np.array_equal(read_images("image", table["image"].to_pylist(), (2, 3, 1)), PIXELS)
    assert table["class"].to_pylist() == LABELS


def test_equal_pixels_are_an_equal_dataset(tmp_path: Path) -> None:
    """The same pixels give the same digest."""
    source = write_pixels(tmp_path / "digits.csv")
    digests = {ingest(tmp_path / name, "digits", str(source), PIXEL_TABLE).manifest.digest for name in ("a", "b")}
    assert len(digests) == 1


def test_a_pixel_out_of_range_is_named(tmp_path: Path) -> None:
    """Row, column and value are told."""
    wrong = PIXELS.astype(int)
    wrong[3, 1, 0, 0] = 300
    source = write_pixels(tmp_path / "digits.csv", wrong)
    with pytest.raises(SchemaError, match=r"row 4, column 'pixel3': 300"):
        ingest(tmp_path / "out", "digits", str(source), PIXEL_TABLE)


def test_absent_pixel_columns_are_counted(tmp_path: Path) -> None:
    """A wrong shape is told by the first column that it would need."""
    source = write_pixels(tmp_path / "digits.csv")
    table = {**PIXEL_TABLE, "pixels": {"shape": [2, 4, 1]}}
    with pytest.raises(SchemaError, match=r"lacks 2 of 8 pixel columns, 'pixel6' first"):
        ingest(tmp_path / "out", "digits", str(source), table)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    """A picture does not replace a column of its name."""
    source = write_pixels(tmp_path / "digits.csv")
    table = {**PIXEL_TABLE, "pixels": {"shape": [2, 3, 1], "column": "class"}}
    with pytest.raises(SchemaError, match="has a column 'class' already"):
        ingest(tmp_path / "out", "digits", str(source), table)


def test_a_folder_of_pictures_is_a_table(tmp_path: Path) -> None:
    """Each file is a row; its folder is its class; the file itself is kept, byte by byte."""
    root = write_folders(tmp_path / "photographs")
    ingest(tmp_path / "out", "photographs", str(root), {})
    rows = read_table(tmp_path / "out").to_pylist()
    assert sorted({row["label"] for row in rows}) == ["a", "b", "c"]
    assert all((root / row["file"]).read_bytes() == row["image"] for row in rows)
    assert len(rows) == len(LABELS)


def test_only_the_declared_columns_of_a_folder_are_kept(tmp_path: Path) -> None:
    """Columns may be left out, as of any other table."""
    root = write_folders(tmp_path / "photographs", ".jpg")
    made = ingest(tmp_path / "out", "photographs", str(root), {"columns": {"image": "binary", "label": "string"}})
    assert list(made.manifest.columns) == ["image", "label"]
    assert made.left_out_columns == ("file",)


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    """A text that is called .png is refused when it is read, not in training."""
    root = write_folders(tmp_path / "photographs")
    (root / "a" / "notes.png").write_text("not a picture")
    with pytest.raises(SourceError, match=r"notes\.png is neither a PNG nor a JPEG"):
        ingest(tmp_path / "out", "photographs", str(root), {})


def test_pictures_in_parquet_keep_their_bytes(tmp_path: Path) -> None:
    """A binary column goes through unchanged."""
    contents = [write_png(pixels) for pixels in PIXELS]
    pq.write_table(pa.table({"image": contents, "class": LABELS}), tmp_path / "p.parquet")
    ingest(tmp_path / "out", "p", str(tmp_path / "p.parquet"), {"columns": {"image": "binary", "class": "string"}})
    assert read_table(tmp_path / "out")["image"].to_pylist() == contents


def test_many_pictures_keep_one_digest_however_they_are_cut(tmp_path: Path) -> None:
    """Batches of pictures are small, and where they are cut depends on the rows alone."""
    content = [write_png(PIXELS[n % 5]) for n in range(2_500)]
    table = pa.table({"image": pa.array(content, pa.binary())})
    whole = write_dataset(tmp_path / "a", [table], table.schema, name="p", source="s")
    pieces = write_dataset(tmp_path / "b", [*table.to_batches(max_chunksize=7)], table.schema, name="p", source="s")
    assert whole.digest == pieces.digest


def test_validation_looks_into_every_picture(tmp_path: Path) -> None:
    """A truncated picture and one of another size are found, by row."""
    good = [write_png(pixels) for pixels in PIXELS]
    path = pictures(tmp_path / "d", [*good, good[0][:-30], write_png(np.zeros((4, 4), np.uint8))])
    with pytest.raises(DataError, match=r"(?s)2 rows.*row 6, image.*row 7, image"):
        validate(path, tmp_path / "r.html", {"columns": {"image": {"shape": [2.0, 3.0, 1.0], "nullable": False}}})
    clean = pictures(tmp_path / "clean", [*good])
    assert validate(clean, tmp_path / "r.html", {"columns": {"image": {"shape": [2, 3, 1]}}}).checked == 1


def test_shapes_are_for_pictures(tmp_path: Path) -> None:
    """A shape of a column of numbers is a mistake in the problem file."""
    path = pictures(tmp_path / "d", [write_png(PIXELS[0])])
    with pytest.raises(ConfigurationError, match="shapes are for columns of PNG or JPEG"):
        validate(path, tmp_path / "r.html", {"columns": {"n": {"shape": [2, 3, 1]}}})


def test_augmentation_keeps_every_original_before_its_copies(tmp_path: Path) -> None:
    """Labels are repeated, originals untouched, the whole deterministic."""
    path = pictures(tmp_path / "d", [write_png(CHANCE.integers(0, 256, (9, 9), dtype=np.uint8)) for _ in range(3)])
    made = [augment(path, tmp_path / name, tmp_path / "r.html", {"copies": 2.0}) for name in ("a", "b")]
    before, after = read_table(path), read_table(tmp_path / "a")
    assert made[0].digest == made[1].digest
    assert after["n"].to_pylist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert after["image"].to_pylist()[::3] == before["image"].to_pylist()
    assert len(set(after["image"].to_pylist())) == after.num_rows
    assert read_manifest(tmp_path / "a").name == "pictures"
    assert (tmp_path / "r.html").read_text().count("data:image/png") == after.num_rows


def test_a_copy_without_room_to_differ_is_the_picture() -> None:
    """All limits at zero change nothing, in grey and in colour."""
    spec = AugmentationSpec(copies=1, shift=0, rotate_degrees=0, scale=0, shear=0)
    for shape in ((8, 6), (8, 6, 3)):
        pixels = CHANCE.integers(0, 256, shape, dtype=np.uint8)
        (copy,) = change(write_png(pixels), spec, row=0)
        assert np.array_equal(read_picture(copy).reshape(shape), pixels)


def test_a_shift_moves_the_picture() -> None:
    """A bright spot stays as bright and moves by at most the limit."""
    pixels = np.zeros((21, 21), np.uint8)
    pixels[8:13, 8:13] = 200
    spec = AugmentationSpec(copies=20, shift=0.2, rotate_degrees=0, scale=0, shear=0)
    for copy in change(write_png(pixels), spec, row=3):
        moved = read_picture(copy)[..., 0].astype(float)
        middle = [float((np.indices(moved.shape)[axis] * moved).sum() / moved.sum()) for axis in (0, 1)]
        assert all(abs(place - 10) <= 0.2 * 21 + 0.1 for place in middle)
        assert abs(moved.sum() - pixels.sum()) < 0.02 * pixels.sum()


def test_what_cannot_be_augmented_is_told(tmp_path: Path) -> None:
    """A missing picture, a wrong column and a column of numbers are refused by name."""
    path = pictures(tmp_path / "d", [write_png(PIXELS[0]), None])
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({}, DataError, "row 2"),
        ({"column": "imge"}, SchemaError, "image"),
        ({"column": "n"}, SchemaError, "int64"),
        ({"copys": 1}, ConfigurationError, "copies"),
    ]
    for spec, error, text in cases:
        with pytest.raises(error, match=text):
            augment(path, tmp_path / "out", tmp_path / "r.html", spec)
    assert not (tmp_path / "out").exists()

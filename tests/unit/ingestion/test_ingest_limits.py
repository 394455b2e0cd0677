"""Memory and disk: a source larger than memory comes in, a full disk loses nothing."""

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.datasets import read_manifest
from fairlead.errors import StateError
from fairlead.ingestion.ingest_dataset.task import ingest

READ = """
import resource, sys
import pyarrow, pyarrow.csv, pyarrow.compute, pyarrow.json, pyarrow.parquet
from fairlead.ingestion.ingest_dataset.task import ingest
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print(ingest(sys.argv[2], "big", sys.argv[1], {}).manifest.row_count)
"""
BLOCK_ROWS = 20_000
MIB = 2**20


def write_big(path: Path, size: int) -> int:
    """Write a csv of a size as many gzip members; give its rows."""
    block = "".join(
        f"{i},{i / 7:.6f},{'name' * 12}{i % 50},2013-01-{1 + i % 28:02d}T00:00:00Z\n" for i in range(BLOCK_ROWS)
    ).encode()
    packed, copies = gzip.compress(block, 1), size // len(block) + 1
    with path.open("wb") as file:
        file.write(gzip.compress(b"number,share,name,time\n"))
        for _ in range(copies):
            file.write(packed)
    return copies * BLOCK_ROWS


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts all memory on Linux only")
@pytest.mark.parametrize("size", [300 * MIB, pytest.param(3000 * MIB, marks=pytest.mark.slow)], ids=["once", "tenfold"])
def test_a_file_larger_than_memory_comes_in(tmp_path: Path, size: int) -> None:
    """A process that may hold 300 MiB, libraries included, reads a csv of that size, and (slow) ten times that."""
    rows = write_big(tmp_path / "big.csv.gz", size)
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
    arguments = [str(tmp_path / "big.csv.gz"), str(tmp_path / "out"), str(300 * MIB)]
    done = subprocess.run(
        [sys.executable, "-c", READ, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == rows


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if (
        sys.platform != "linux"
        or os.geteuid() != 0
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("a small tmpfs can be mounted by root only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_explained_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    """The error says how much is free; the dataset that stood there still stands; nothing half-written is left."""
    (tmp_path / "small.csv").write_text("n\n1\n")
    (tmp_path / "big.csv").write_text("n\n" + "".join(f"{os.urandom(20).hex()}\n" for _ in range(150_000)))
    before = ingest(small_disk / "out", "t", str(tmp_path / "small.csv"), {}).manifest
    with pytest.raises(StateError, match=r"the disk is full: .* MiB free of 2\.0 MiB"):
        ingest(small_disk / "out", "t", str(tmp_path / "big.csv"), {})
    assert read_manifest(small_disk / "out") == before
    assert [path.name for path in small_disk.iterdir()] == ["out"]

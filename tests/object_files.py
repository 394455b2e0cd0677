"""Files and folders to be kept as objects."""

import hashlib
from pathlib import Path

FILES = {
    "MLmodel": b"flavors: onnx\n",
    "fairlead/package.json": b"{}",
    "fairlead/.hidden/größe x.txt": b"\xff\x00",
    "empty": b"",
    "big.bin": bytes(range(256)) * 80_000,
}


def write(path: Path, size: int, seed: int = 1) -> Path:
    """A file whose parts differ."""
    with path.open("wb") as file:
        for number in range(0, size, 1 << 20):
            piece = hashlib.sha256(f"{seed}.{number}".encode()).digest() * 32768
            file.write(piece[: min(1 << 20, size - number)])
    return path


def make(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    """A folder with files."""
    for name, content in (files or FILES).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

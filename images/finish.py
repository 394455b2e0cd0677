"""Steps of an image's build: takes away what no container runs, and holds the image to its size.

    python finish.py size FILE FOLDER...        writes how many bytes these folders have
    python finish.py prune ENVIRONMENT          before its bytecode is compiled
    python finish.py measure BUDGET_MB FILE...  against the budget

Runs in the build stage with the standard library alone.
"""

import os
import shutil
import sys
from pathlib import Path

# Below site-packages. Each was seen to be needed by no import that fairlead makes; the tests of the images import and
# run every component without them.
UNNEEDED = (
    "**/*.pxd",  # Cython's sources
    "**/*.pyx",
    "Crypto/SelfTest",
    "dask/**/tests",
    "ibis/**/tests",
    "matplotlib/tests",
    "networkx/**/tests",
    "numpy/**/tests",
    "numpy/_core/include",  # headers, for compiling against
    "numpy/distutils",
    "onnx/backend/test",
    "onnxruntime/transformers/models",  # of language models; quantization imports what lies beside it
    "pandas/tests",
    "psutil/tests",
    "pyarrow/_flight*",  # a server and client of Arrow tables: 31 MB
    "pyarrow/include",
    "pyarrow/libarrow_flight*",
    "pyarrow/libarrow_python_flight*",
    "pyarrow/src",  # of its C++
    "pyarrow/tests",
    "scipy/**/tests",
    "sklearn/**/tests",
    "sqlalchemy/testing",
    "sympy/**/tests",
    "torch/bin/protoc*",  # compilers of .proto files
    "torch/include",
    "torch/share/cmake",
    "torch/testing/_internal/py312_*",  # in the grammar of Python 3.12: they end compileall
    "feast/templates",  # of `feast init`
    "feast/ui",  # the web page of `feast ui`: 26 MB
    "requirements",  # locks of Feast's own development
)
MEGABYTE = 1_000_000
OUTSIDE = ("/proc", "/sys", "/dev")


def prune(environment: Path) -> int:
    """Removes what UNNEEDED names from an environment; the bytes that it freed."""
    (packages,) = environment.glob("lib/python3.*/site-packages")
    freed = 0
    for pattern in UNNEEDED:
        for found in sorted(packages.glob(pattern)):
            if found.is_dir():
                freed += size([found])
                shutil.rmtree(found)
            elif found.exists():
                freed += found.stat().st_size
                found.unlink()
    return freed + link_twins(packages)


def link_twins(packages: Path) -> int:
    """Makes the second and third name of a shared library links, as wheels cannot hold links; the bytes freed."""
    freed = 0
    for library in sorted(packages.rglob("*.so")):
        for twin in sorted(library.parent.glob(f"{library.name}.*")):
            if not library.is_symlink() and not twin.is_symlink() and library.read_bytes() == twin.read_bytes():
                freed += twin.stat().st_size
                twin.unlink()
                twin.symlink_to(library.name)
    return freed


def size(folders: list[Path], without: tuple[str, ...] = ()) -> int:
    """The bytes of all files below folders, each file once however many names it has; links are not followed."""
    total, seen = 0, set()
    for top in folders:
        for place, names, files in os.walk(top):
            names[:] = [name for name in names if str(Path(place, name)) not in without]
            for status in (Path(place, file).lstat() for file in files):
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_size
    return total


def measure(budget_mb: int, parts: list[Path]) -> str:
    """Says how large the image becomes; ends the build where that is over the budget.

    Args:
        budget_mb: Megabytes (10^6 bytes) that the image may have, uncompressed.
        parts: Files that `size` wrote.
    """
    sizes = {part.stem: int(part.read_text(encoding="utf-8")) / MEGABYTE for part in parts}
    said = f"{sum(sizes.values()):.0f} MB: " + ", ".join(f"{name} {size:.0f}" for name, size in sizes.items())
    if sum(sizes.values()) > budget_mb:
        sys.exit(f"the image is over its budget of {budget_mb} MB: it has {said}")
    return f"{said}; the budget is {budget_mb} MB"


def main(arguments: list[str]) -> None:
    """Runs one of the commands."""
    command, first, *rest = arguments
    if command == "prune":
        print(f"pruned {prune(Path(first)) / MEGABYTE:.0f} MB")
    elif command == "size":
        Path(first).write_text(str(size([Path(folder) for folder in rest], OUTSIDE)), encoding="utf-8")
    else:
        print(measure(int(first), [Path(part) for part in rest]))


if __name__ == "__main__":
    main(sys.argv[1:])

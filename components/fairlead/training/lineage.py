"""What a model comes from: data, code, libraries."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fairlead import datasets

LIBRARIES = ("fairlead", "torch", "pytorch-lightning", "scikit-learn", "transformers", "numpy", "pyarrow")
_SECONDS = 10


def describe_dataset(path: Path | str) -> dict[str, Any]:
    """What to remember of a dataset: name, digest, rows, source, time range."""
    manifest = datasets.read_manifest(path)
    return {
        "name": manifest.name,
        "digest": manifest.digest,
        "rows": manifest.row_count,
        "source": manifest.source,
        "time_range": manifest.time_range,
    }


def library_versions() -> dict[str, str]:
    """Python's version, and those of the libraries that decide what training gives."""
    versions = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # a runtime image may lack one
            continue
    return versions


def code_revision(folder: Path | None = None) -> str | None:
    """The git revision that the work runs from.

    Args:
        folder: Where to look; the working folder by default.

    Returns:
        The commit, with `-dirty` where tracked files have changed, or None where there is no repository or no git.
    """
    commit = _git(["rev-parse", "HEAD"], folder)
    if not commit:
        return None
    return f"{commit}-dirty" if _git(["status", "--porcelain", "--untracked-files=no"], folder) else commit


def _git(arguments: list[str], folder: Path | None) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

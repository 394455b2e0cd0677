"""A package's identity: the digest of its contents. Needs the standard library only, so that anybody can check it."""

import hashlib
from pathlib import Path


class PackageInvalidError(ValueError):
    """A package is incomplete, of another format, or not the one that its digest names."""


def package_digest(path: Path | str) -> str:
    """Computes a package's identity.

    Args:
        path: The package's folder.

    Returns:
        `sha256:` and the digest over the sorted relative paths and digests of all files.

    Raises:
        PackageInvalidError: There is no folder at the path, or it holds no file.
    """
    root = Path(path)
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else []
    if not files:
        raise PackageInvalidError(f"no model package at {path}; give the folder that export_model wrote")
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{file.relative_to(root).as_posix()}\0{content}\n".encode())
    return f"sha256:{whole.hexdigest()}"

"""Datasets in the object store, each under its digest: sent once, whoever needs it, and never changed."""

from pathlib import Path

from fairlead import datasets
from fairlead.errors import SourceError
from fairlead.objects import Objects


def dataset_uri(store: str, path: Path) -> str:
    """Where a dataset lies in an object store: by its digest, so that the same one is stored once."""
    return f"{store.rstrip('/')}/datasets/{datasets.read_manifest(path).digest.removeprefix('sha256:')}"


def send_dataset(objects: Objects, store: str, path: Path) -> str:
    """Stores a dataset, unless it is there.

    Returns:
        Its address.
    """
    uri = dataset_uri(store, path)
    if objects.find_folder(uri) is None:
        objects.upload_folder(path, uri)
    return uri


def fetch_dataset(objects: Objects, uri: str, path: Path) -> None:
    """Brings a dataset here, unless it is here.

    Raises:
        SourceError: What lies there is another one.
    """
    wanted = f"sha256:{uri.rpartition('/')[2]}"
    if not (path / datasets.MANIFEST).is_file():
        objects.download_folder(uri, path)
    found = datasets.read_manifest(path).digest
    if found != wanted:
        raise SourceError(f"{uri} holds the dataset {found}, not {wanted}; remove it from the store and run again")

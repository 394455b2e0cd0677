"""Tables that lie in S3 and whatever speaks its protocol; how that is reached: fairlead.objects.client."""

import fnmatch
import glob
from pathlib import Path, PurePosixPath

from fairlead.ingestion.sources import SourceFile, select
from fairlead.ingestion.spec import TableSpec
from fairlead.objects import Address, Objects


def download(source: str, spec: TableSpec, folder: Path) -> list[SourceFile]:
    """Brings objects here.

    Args:
        source: s3://BUCKET/KEY; a key that ends in `/`, or that holds `*`, `?` or `[`, means several objects.
        spec: How to read the table.
        folder: Where to put them.

    Returns:
        The files, in the order of their keys, labelled s3://BUCKET/KEY.

    Raises:
        SourceError: The object cannot be read, a near key is named; or none is data.
        ConfigurationError: Key, secret, token, region, bucket, policy or certificate is wrong.
        PlatformError: The endpoint gives no answer.
    """
    objects, address = Objects.connect(), Address.parse(source)
    one = address.key and not address.key.endswith("/") and not glob.has_magic(address.key)
    uris = [address.uri] if one else _matching(objects, address)
    named = [SourceFile(folder / str(number) / PurePosixPath(uri).name, uri) for number, uri in enumerate(uris)]
    files = named if one else select(named, source, spec)
    for file in files:
        objects.download_file(file.label, file.path)
    return files


def _matching(objects: Objects, address: Address) -> list[str]:
    """What lies below a prefix, or matches a pattern (`*` does not cross a `/`, `**` does), and is not hidden."""
    key = address.key
    fixed = key[: min((key.find(sign) for sign in "*?[" if sign in key), default=len(key))]
    above, _, beginning = fixed.rpartition("/")
    root = Address(address.bucket, above)
    found = [Address.parse(one.uri).key for one in objects.list(root.uri, beginning=beginning)]
    if glob.has_magic(key):
        found = [name for name in found if "**" in key or name.count("/") == key.count("/")]
        found = [name for name in found if fnmatch.fnmatchcase(name, key.replace("**/", "*").replace("**", "*"))]
    shown = [name for name in found if not any(part[:1] in "._" for part in _parts_below(name, root))]
    return [Address(address.bucket, name).uri for name in sorted(shown)]


def _parts_below(key: str, root: Address) -> list[str]:
    return key.removeprefix(root.folder).split("/")

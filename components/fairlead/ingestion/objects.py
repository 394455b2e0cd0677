"""Objects in S3 and what speaks its protocol, through the minio client.

The endpoint and the credentials come from the environment: FAIRLEAD_S3_ENDPOINT (https://s3.amazonaws.com by default;
TLS is verified unless it begins with http://), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and
AWS_REGION. Without credentials, buckets are read anonymously.
"""

import fnmatch
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fairlead.errors import ConfigurationError, SourceError
from fairlead.ingestion.sources import SourceFile, select
from fairlead.ingestion.spec import TableSpec
from fairlead.progress import step

if TYPE_CHECKING:
    from minio import Minio

ENDPOINT = "FAIRLEAD_S3_ENDPOINT"
_PIECE = 1 << 20
_LISTED = 1000  # names looked at to find one that is near
_CAUSES = {
    "NoSuchBucket": "there is no such bucket at {endpoint}",
    "AccessDenied": "access is denied; check the policy of AWS_ACCESS_KEY_ID",
    "InvalidAccessKeyId": "the server does not know the key; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret is wrong; check AWS_SECRET_ACCESS_KEY",
    "AuthorizationHeaderMalformed": "the region is wrong; set AWS_REGION",
}


def download(source: str, spec: TableSpec, folder: Path) -> list[SourceFile]:
    """Brings objects here.

    Args:
        source: s3://BUCKET/KEY; a key that ends in `/`, or that holds `*`, `?` or `[`, means several objects.
        spec: How to read the table.
        folder: Where to put them.

    Returns:
        The files, in the order of their keys, labelled s3://BUCKET/KEY.

    Raises:
        SourceError: The endpoint, bucket or object cannot be read; a near key is named.
        ConfigurationError: The endpoint in the environment is no address.
    """
    bucket, key = _parts(source)
    client, endpoint = _client()
    with _explained(source, endpoint):
        keys = [key] if key and not key.endswith("/") and not glob.has_magic(key) else _matching(client, bucket, key)
        named = [
            SourceFile(folder / str(number) / PurePosixPath(k).name, f"s3://{bucket}/{k}")
            for number, k in enumerate(keys)
        ]
        files = named if keys == [key] else select(named, source, spec)
        for file in files:
            _fetch(client, bucket, file)
    return files


def _parts(source: str) -> tuple[str, str]:
    bucket, _, key = source.partition("://")[2].partition("/")
    if not bucket:
        raise SourceError(f"{source}: write s3://BUCKET/KEY")
    return bucket, key


def _client() -> tuple["Minio", str]:
    import urllib3
    from minio import Minio

    endpoint = os.environ.get(ENDPOINT, "https://s3.amazonaws.com")
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        raise ConfigurationError(f"{ENDPOINT} is {endpoint!r}; write http://HOST:PORT or https://HOST:PORT")
    client = Minio(
        parts.netloc,
        access_key=os.environ.get("AWS_ACCESS_KEY_ID"),
        secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY"),
        session_token=os.environ.get("AWS_SESSION_TOKEN"),
        secure=parts.scheme == "https",
        region=os.environ.get("AWS_REGION"),
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=10, read=60), retries=urllib3.Retry(total=3, backoff_factor=0.2)
        ),
    )
    return client, endpoint


def _matching(client: "Minio", bucket: str, key: str) -> list[str]:
    """The keys below a prefix, or those that match a pattern (`*` does not cross a `/`, `**` does)."""
    fixed = key[: min((key.find(sign) for sign in "*?[" if sign in key), default=len(key))]
    found = [item.object_name or "" for item in client.list_objects(bucket, prefix=fixed, recursive=True)]
    if glob.has_magic(key):
        found = [name for name in found if "**" in key or name.count("/") == key.count("/")]
        found = [name for name in found if fnmatch.fnmatchcase(name, key.replace("**/", "*").replace("**", "*"))]
    return sorted(name for name in found if PurePosixPath(name).name[:1] not in ("", ".", "_"))


def _fetch(client: "Minio", bucket: str, file: SourceFile) -> None:
    from minio.error import S3Error

    key = file.label.removeprefix(f"s3://{bucket}/")
    try:
        answer = client.get_object(bucket, key)
    except S3Error as error:
        if error.code == "NoSuchKey":
            raise SourceError(f"{file.label} does not exist; {_neighbours(client, bucket, key)}") from None
        raise
    file.path.parent.mkdir(parents=True, exist_ok=True)
    with answer, file.path.open("wb") as target, step(f"downloading {file.label}", _length(answer.headers)) as progress:
        while piece := answer.read(_PIECE):
            target.write(piece)
            progress.advance(len(piece))


def _length(headers: "os.PathLike[str] | object") -> float | None:
    text = getattr(headers, "get", lambda _name: None)("Content-Length")
    return float(text) if text else None


def _neighbours(client: "Minio", bucket: str, key: str) -> str:
    folder = key.rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    names = [item.object_name or "" for item in islice(client.list_objects(bucket, prefix=prefix), _LISTED)]
    close = get_close_matches(key, names, n=3, cutoff=0.4) or names[:3]
    return (
        f"nearest in s3://{bucket}/{prefix}: {', '.join(close)}" if close else f"s3://{bucket}/{prefix} holds nothing"
    )


@contextmanager
def _explained(source: str, endpoint: str) -> Iterator[None]:
    from minio.error import MinioException, S3Error
    from urllib3.exceptions import HTTPError

    try:
        yield
    except S3Error as error:
        known = _CAUSES.get(error.code or "", "").format(endpoint=endpoint)
        raise SourceError(f"{source}: {known or error.message} ({error.code} from {endpoint})") from None
    except (HTTPError, MinioException, ValueError) as error:
        raise SourceError(f"{source}: {endpoint} gives no answer ({error}); check {ENDPOINT}, try again") from None

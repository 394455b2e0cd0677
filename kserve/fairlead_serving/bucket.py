"""An S3 prefix to which a server publishes its logs.

The server stands alone, so this is its own thin layer over the minio client. Credentials: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION; endpoint: FAIRLEAD_S3_ENDPOINT (http(s)://HOST:PORT);
certificates beside the system's: FAIRLEAD_S3_CA_FILE. Every call has a time limit, and none is repeated here: the
publisher comes again anyway.
"""

import io
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fairlead_serving.errors import StartupError

if TYPE_CHECKING:
    from minio import Minio

ENDPOINT, CA_FILE = "FAIRLEAD_S3_ENDPOINT", "FAIRLEAD_S3_CA_FILE"
DEFAULT_ENDPOINT = "https://s3.amazonaws.com"
CONNECT_SECONDS, READ_SECONDS = 3.0, 10.0


class BucketError(Exception):
    """The bucket does not answer, or refuses; the text says what it said."""


@dataclass(frozen=True)
class Bucket:
    """What lies below s3://BUCKET/PREFIX.

    Attributes:
        name: The bucket.
        prefix: Ends in a slash, or is empty.
    """

    name: str
    prefix: str
    _client: "Minio"

    @classmethod
    def open(cls, uri: str, environment: Mapping[str, str] = os.environ) -> "Bucket":
        """Opens s3://BUCKET/PREFIX; nothing is asked yet.

        Raises:
            StartupError: The address, the endpoint or the certificates are none.
        """
        parts = urlsplit(uri)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise StartupError(f"{uri} is no address of logs; give a folder or s3://BUCKET/PREFIX")
        prefix = parts.path.strip("/")
        return cls(parts.netloc, f"{prefix}/" if prefix else "", _connect(environment))

    def put(self, key: str, content: bytes) -> None:
        """Writes an object, replacing what was there.

        Raises:
            BucketError: The bucket does not answer, or refuses.
        """
        whole = 64 << 20  # one request, so that no half of it is ever left behind
        self._do("put_object", self.name, self.prefix + key, io.BytesIO(content), len(content), part_size=whole)

    def list(self, key: str, *, recursive: bool = False) -> Iterator[str]:
        """Lists keys that begin so; where not recursive, what follows a further slash is given as one `…/`.

        Raises:
            BucketError: The bucket does not answer, or refuses.
        """
        found = self._do("list_objects", self.name, prefix=self.prefix + key, recursive=recursive, read_all=True)
        yield from (str(item.object_name).removeprefix(self.prefix) for item in found)

    def remove(self, key: str) -> None:
        """Removes an object.

        Raises:
            BucketError: The bucket does not answer, or refuses.
        """
        self._do("remove_object", self.name, self.prefix + key)

    def _do(self, verb: str, *arguments: Any, **options: Any) -> Any:
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        read_all = options.pop("read_all", False)
        try:
            answer = getattr(self._client, verb)(*arguments, **options)
            return list(answer) if read_all else answer
        except (MinioException, HTTPError, OSError, ValueError) as error:
            raise BucketError(f"s3://{self.name}/{self.prefix}: {error}") from None


def _connect(environment: Mapping[str, str]) -> "Minio":
    import urllib3
    from minio import Minio

    endpoint = environment.get(ENDPOINT) or DEFAULT_ENDPOINT
    address = urlsplit(endpoint)
    if address.scheme not in ("http", "https") or not address.netloc or address.path.strip("/"):
        raise StartupError(f"{ENDPOINT} is {endpoint}; give http(s)://HOST:PORT")
    context = ssl.create_default_context()
    try:
        if file := environment.get(CA_FILE):
            context.load_verify_locations(file)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(f"{CA_FILE} is {file}: {error}; name a file of certificates in PEM") from None
    secure: dict[str, Any] = {"ssl_context": context} if address.scheme == "https" else {}
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS), retries=False, maxsize=2, **secure
    )
    return Minio(
        address.netloc, environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY"),
        environment.get("AWS_SESSION_TOKEN"), secure=address.scheme == "https",
        region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1", http_client=pool,
    )  # fmt: skip

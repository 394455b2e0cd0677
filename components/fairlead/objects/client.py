"""The connection to S3 and whatever speaks its protocol: address, credentials, TLS and conditions.

The endpoint is the setting s3_endpoint, TLS is verified against what the system trusts and s3_ca_file. The credentials
are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION, as everywhere; without them buckets are
read anonymously. They are read when a connection is made, and stand in no message.
"""

import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import urllib3

from fairlead.errors import ConfigurationError, SourceError
from fairlead.settings import Settings

if TYPE_CHECKING:
    from minio import Minio

_SCHEMES = ("s3://", "minio://")  # KFP writes minio:// where its pipeline root does
_PAIR = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
_CONNECTIONS = 16
_TIMEOUT = urllib3.Timeout(connect=10, read=60)


@dataclass(frozen=True)
class Address:
    """What a URI names.

    Attributes:
        bucket: The bucket.
        key: The object's key, or a folder's without `/` at its end; empty: the whole bucket.
    """

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Takes s3://BUCKET/KEY apart; minio:// means the same. A key may hold any character.

        Raises:
            SourceError: It is no such address.
        """
        for scheme in _SCHEMES:
            bucket, _, key = uri.removeprefix(scheme).partition("/")
            if uri.startswith(scheme) and bucket:
                return cls(bucket, key)
        raise SourceError(f"{uri}: write s3://BUCKET/KEY")

    @property
    def uri(self) -> str:
        """s3://BUCKET/KEY."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def folder(self) -> str:
        """What the keys below this one begin with."""
        return f"{self.key.rstrip('/')}/" if self.key.strip("/") else ""


class _Retry(urllib3.Retry):
    """Tries again after whatever may pass by itself; a certificate does not become another one."""

    def increment(self, *request: Any, **options: Any) -> Self:
        """What is left of the attempts."""
        if isinstance(error := options.get("error"), urllib3.exceptions.SSLError):
            raise error
        return super().increment(*request, **options)


_RETRIES = _Retry(
    total=5,
    backoff_factor=0.25,
    status_forcelist=(500, 502, 503, 504),
    raise_on_status=False,
    respect_retry_after_header=False,  # a MinIO that is being started asks for a minute, and needs a second
)


class Pool(urllib3.PoolManager):
    """Connections that carry the conditions of a request, for which the client has no parameter.

    A condition is no part of what is signed, and needs not be.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._here = threading.local()

    @contextmanager
    def condition(self, headers: Mapping[str, str]) -> Iterator[None]:
        """Adds headers to what this thread writes in the block: If-Match, If-None-Match."""
        self._here.headers = headers
        try:
            yield
        finally:
            self._here.headers = {}

    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
        """Sends a request."""
        headers = getattr(self._here, "headers", None)
        if method == "PUT" and headers:
            options["headers"] = urllib3.HTTPHeaderDict(options.get("headers") or {})
            options["headers"].update(headers)
        return super().urlopen(method, url, redirect, **options)


def connect(place: Settings) -> "tuple[Minio, Pool]":
    """Makes a client; nothing is connected to before it is asked something.

    Args:
        place: The settings.

    Returns:
        The client, and the connections that it uses.

    Raises:
        ConfigurationError: The endpoint, the credentials or the certificates cannot be used.
    """
    from minio import Minio

    parts, key, secret = urlsplit(place.s3_endpoint), *(os.environ.get(f"AWS_{name}") for name in _PAIR)
    if bool(key) != bool(secret):
        raise ConfigurationError(f"AWS_{_PAIR[bool(key)]} is not set; set both, or none to read anonymously")
    pool = Pool(maxsize=_CONNECTIONS, timeout=_TIMEOUT, retries=_RETRIES, ssl_context=_trusted(place))
    try:
        client = Minio(
            parts.netloc,
            access_key=key or None,
            secret_key=secret or None,
            session_token=os.environ.get("AWS_SESSION_TOKEN") or None,
            secure=parts.scheme == "https",
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None,
            http_client=pool,
        )
    except ValueError as error:
        raise ConfigurationError(
            f"{place.s3_endpoint} cannot be used: {error}; check s3_endpoint, AWS_REGION"
        ) from None
    return client, pool


def _trusted(place: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if place.s3_ca_file:
        try:
            context.load_verify_locations(place.s3_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"setting s3_ca_file: {place.s3_ca_file}: {error}; name a PEM file of certificates, or unset it"
            ) from None
    return context

"""What goes wrong with objects, told in our words: what it is, and what to do."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import urllib3

from fairlead.errors import ConfigurationError, FairleadError, PlatformError, SourceError, StateError

if TYPE_CHECKING:
    from minio.error import S3Error

_CAUSES: dict[str, tuple[type[FairleadError], str]] = {
    "NoSuchKey": (SourceError, "there is no such object"),
    "NoSuchBucket": (ConfigurationError, "there is no such bucket; make it, or name another"),
    "NoSuchUpload": (SourceError, "the upload was ended by somebody else; upload it again"),
    "AccessDenied": (ConfigurationError, "access is denied; check the policy of AWS_ACCESS_KEY_ID"),
    "InvalidAccessKeyId": (ConfigurationError, "the server does not know the key; check AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": (ConfigurationError, "the secret is wrong; check AWS_SECRET_ACCESS_KEY"),
    "ExpiredToken": (ConfigurationError, "the credentials have expired; get new ones, with their AWS_SESSION_TOKEN"),
    "InvalidTokenId": (
        ConfigurationError,
        "AWS_SESSION_TOKEN is wrong or has expired; get new credentials, all three of one answer",
    ),
    "AuthorizationHeaderMalformed": (ConfigurationError, "the region is wrong; set AWS_REGION"),
    "RequestTimeTooSkewed": (PlatformError, "this machine's clock and the server's differ; set it right (NTP)"),
    "PreconditionFailed": (SourceError, "it was replaced while it was read; read it again"),
    "QuotaExceeded": (PlatformError, "the bucket's quota is used up; raise it, or remove objects"),
    "XMinioStorageFull": (PlatformError, "the server's disks are full"),
    "SlowDown": (PlatformError, "the server is overloaded; try again later"),
    "InvalidBucketName": (ConfigurationError, "no bucket can have this name"),
    "KeyTooLongError": (ConfigurationError, "the name is too long"),
    "XMinioInvalidObjectName": (ConfigurationError, "the server does not take this name"),
}
_CAUSES["InvalidToken"] = _CAUSES["InvalidTokenId"]  # Amazon's name for it


class ObjectConflictError(StateError):
    """An object is not, or no longer, what the writer took it for: somebody else wrote it first."""


@contextmanager
def explained(uri: str, endpoint: str) -> Iterator[None]:
    """Tells what goes wrong in the block in our words.

    Args:
        uri: What is read or written.
        endpoint: Where.

    Raises:
        ConfigurationError: Key, secret, token, region, bucket, policy or certificate is wrong.
        SourceError: The object is not there, or cannot be read whole.
        PlatformError: The server gives no answer, or cannot do it now.
    """
    from minio.error import MinioException, S3Error

    try:
        yield
    except S3Error as error:
        raise _told(uri, endpoint, error) from None
    except urllib3.exceptions.HTTPError as error:
        raise _unreached(uri, endpoint, error) from None
    except MinioException as error:
        raise PlatformError(f"{uri}: what answers at {endpoint} is not S3 ({error}); check s3_endpoint") from None
    except ValueError as error:  # the client checks names before it sends anything
        raise ConfigurationError(f"{uri}: {error}") from None


def _told(uri: str, endpoint: str, error: "S3Error") -> FairleadError:
    code = error.code or "no code"
    kind, text = _CAUSES.get(code, (PlatformError, ""))
    if code == "InvalidAccessKeyId" and os.environ.get("AWS_SESSION_TOKEN"):  # what MinIO says of those that are over
        text += "; the session may have expired: get new credentials"
    return kind(f"{uri}: {text or error.message or 'it is refused'} ({code} from {endpoint})")


def _unreached(uri: str, endpoint: str, error: Exception) -> FairleadError:
    reason = getattr(error, "reason", None) or error
    verification = _find(reason, ssl.SSLCertVerificationError)
    if verification is not None:
        return ConfigurationError(
            f"{uri}: the certificate of {endpoint} is not trusted ({getattr(verification, 'verify_message', '')}); "
            "set FAIRLEAD_S3_CA_FILE to the certificates of who signed it"
        )
    if _find(reason, ssl.SSLError) is not None:
        return ConfigurationError(f"{uri}: {endpoint} does not speak TLS ({reason}); check http:// or https://")
    cause = _find(reason, OSError) or reason
    return PlatformError(f"{uri}: {endpoint} gives no answer ({cause}); check s3_endpoint and the server, try again")


def _find(error: object, kind: type[Exception]) -> Exception | None:
    """The exception of a kind in what libraries have wrapped."""
    if isinstance(error, kind):
        return error
    if not isinstance(error, BaseException):
        return None
    inner = [getattr(error, "reason", None), error.__cause__, *error.args]
    return next((found for found in (_find(one, kind) for one in inner) if found is not None), None)

"""Downloads by http and https, certificates verified."""

import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from fairlead.errors import SourceError
from fairlead.ingestion.sources import SourceFile, public_name
from fairlead.progress import step

if TYPE_CHECKING:
    import requests

ATTEMPTS = 3
SECONDS_BETWEEN_ATTEMPTS = 0.2  # fourfold after each
TIMEOUT_SECONDS = (10, 60)  # to connect, between two pieces of the answer
_PIECE = 1 << 20
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_HINTS = {
    401: "it wants credentials; put them into the address (https://user:password@…)",
    403: "it refuses access; check credentials",
    404: "there is no such file",
}


class _Passing(Exception):  # noqa: N818 (it never leaves this module)
    """An error that another attempt may not meet."""


def download(address: str, folder: Path) -> SourceFile:
    """Brings the file at an address here.

    Args:
        address: An http:// or https:// address; user and password may stand in it. Proxies and certificate
            authorities come from the usual environment variables (HTTPS_PROXY, REQUESTS_CA_BUNDLE).
        folder: Where to put it.

    Returns:
        The file, labelled with the address less its secrets.

    Raises:
        SourceError: The server cannot be reached, refuses, or sends less than it announced, three times in a row.
    """
    label = public_name(address)
    name = PurePosixPath(unquote(urlsplit(address).path)).name or "download"
    for attempt in range(ATTEMPTS):
        try:
            _fetch(address, folder / name, label)
            return SourceFile(folder / name, label)
        except _Passing as error:
            if attempt + 1 == ATTEMPTS:
                raise SourceError(f"{label}: {error}, {ATTEMPTS} times; check address and network, try again") from None
            time.sleep(SECONDS_BETWEEN_ATTEMPTS * 4**attempt)
    raise AssertionError


def _fetch(address: str, path: Path, label: str) -> None:
    import requests
    from urllib3.exceptions import HTTPError

    # identity: a .csv.gz must arrive as the file that it is, and lengths must mean bytes on disk
    headers = {"Accept-Encoding": "identity"}
    try:
        with requests.get(address, stream=True, timeout=TIMEOUT_SECONDS, headers=headers) as answer:
            if address.lower().startswith("https:") and not answer.url.lower().startswith("https:"):
                raise SourceError(f"{label}: the server sends on to an address without TLS; check the address")
            _check_status(answer, label)
            _save(answer, path, label)
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
        raise SourceError(f"{label} is no address: {error}") from None
    except requests.exceptions.SSLError as error:
        raise SourceError(
            f"{label}: the server's certificate is not trusted ({_root(error)}); "
            "set REQUESTS_CA_BUNDLE to its authority's certificate"
        ) from None
    except (requests.RequestException, HTTPError) as error:
        raise _Passing(f"cannot be fetched ({_root(error)})") from None


def _check_status(answer: "requests.Response", label: str) -> None:
    code = answer.status_code
    if code >= _SERVER_ERROR or code == _TOO_MANY_REQUESTS:
        raise _Passing(f"the server answered {code} {answer.reason}")
    if not answer.ok:
        hint = _HINTS.get(code, "it refuses")
        raise SourceError(f"{label}: the server answered {code} {answer.reason}: {hint}; check the address")


def _save(answer: "requests.Response", path: Path, label: str) -> None:
    """Writes the body; decodes it only where the server compressed what is not named as compressed."""
    announced = int(answer.headers.get("Content-Length", "0") or "0")
    decode = path.suffix != ".gz"
    with path.open("wb") as file, step(f"downloading {label}", announced or None) as progress:
        while piece := answer.raw.read(_PIECE, decode_content=decode):
            file.write(piece)
            progress.advance(len(piece))
    got = answer.raw.tell()
    if announced and got != announced:
        raise _Passing(f"only {got} of {announced} bytes came")


def _root(error: BaseException) -> str:
    """The innermost cause, in its own words, without addresses (they may hold secrets)."""
    while (inner := getattr(error, "reason", None) or (error.args[0] if error.args else None)) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return str(error).rpartition(": ")[2] or type(error).__name__

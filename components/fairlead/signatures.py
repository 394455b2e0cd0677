"""Ed25519 signatures, and the keys that make and check them.

What is signed is canonical JSON behind a prefix that says what it is, so that a signature under one kind of document
is worth nothing under another. Public keys are handled as base64 of their 32 bytes; `cryptography` is imported only
where something is signed or checked.
"""

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.canonical import canonical
from fairlead.errors import ConfigurationError
from fairlead.settings import settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Trusted = Mapping[str, Sequence[str]]
"""Public keys by name; a name has several while one follows another."""

_KEY_BYTES, _SIGNATURE_BYTES = 32, 64
_SPKI = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: what stands before the 32 bytes of an Ed25519 key in DER
_PEM_BEGIN, _PEM_END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


@dataclass(frozen=True)
class SigningKey:
    """A private key and the name that policies know it by.

    Attributes:
        name: The signer's name.
        public: The public half, base64.
    """

    name: str
    public: str
    _private: "Ed25519PrivateKey" = field(repr=False, compare=False)

    def sign(self, kind: str, content: Any) -> str:
        """Signs a JSON value.

        Args:
            kind: What it is: `verdict`, `policy`.
            content: The value.

        Returns:
            The signature, base64.
        """
        return base64.b64encode(self._private.sign(_message(kind, content))).decode()


def is_signed_by(public: str, kind: str, content: Any, signature: str) -> bool:
    """Whether a signature was made over exactly this content by the private half of a public key.

    Args:
        public: The public key, base64.
        kind: What the content is: `verdict`, `policy`.
        content: A JSON value.
        signature: Base64; only the one spelling that `SigningKey.sign` gives.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        given = _decode(signature, _SIGNATURE_BYTES)
        Ed25519PublicKey.from_public_bytes(_decode(public, _KEY_BYTES)).verify(given, _message(kind, content))
    except (InvalidSignature, ValueError):
        return False
    return True


def signing_key() -> SigningKey | None:
    """The key with which this place signs, as the settings name it; None where they name none.

    Raises:
        ConfigurationError: The file is not there, can be read by others, or holds no Ed25519 key.
    """
    place = settings()
    return read_private_key(place.signing_key, place.signing_name) if place.signing_key else None


def read_private_key(path: Path, name: str = "") -> SigningKey:
    """Reads a private key that nobody else can read.

    Args:
        path: A PEM file (PKCS #8, no pass phrase).
        name: The signer's name; by default the file's without its ending.

    Raises:
        ConfigurationError: The file is not there, can be read by others, or holds no Ed25519 key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read_secret(path)
    try:
        private = load_pem_private_key(content, password=None)
    except TypeError:
        raise ConfigurationError(
            f"the private key {path} has a pass phrase; jobs cannot type one: `fairlead keys new` makes a key without"
        ) from None
    except ValueError:
        raise ConfigurationError(f"{path} holds no private key in PEM; `fairlead keys new` makes one") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigurationError(
            f"{path} holds a key of another kind than Ed25519 ({type(private).__name__}); `fairlead keys new` makes one"
        )
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    return SigningKey(name or path.stem, public, private)


def make_private_key(path: Path) -> SigningKey:
    """Makes a pair, and writes the private half where only its owner can read it.

    Args:
        path: The PEM file to make.

    Raises:
        ConfigurationError: There is such a file already, which is never overwritten, or the folder refuses.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists and is not overwritten; choose another name") from None
    except OSError as error:
        raise ConfigurationError(f"no key can be written to {path}: {error.strerror}; choose another folder") from None
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # whatever the umask
        file.write(text)
        os.fsync(descriptor)
    return read_private_key(path)


def read_public_key(text: str) -> str:
    """Reads a public key.

    Args:
        text: Base64 of its 32 bytes, or PEM.

    Returns:
        Base64 of its 32 bytes.

    Raises:
        ValueError: It is neither, or of another kind.
    """
    stripped = text.strip()
    if "PRIVATE KEY" in stripped:
        raise ValueError("this is a private key; give the public one, and replace the pair: it is no secret any more")
    try:
        if stripped.startswith(_PEM_BEGIN):
            return _from_pem(stripped)
        return base64.b64encode(_decode(stripped, _KEY_BYTES)).decode()
    except ValueError:
        raise ValueError(
            "no Ed25519 public key; give PEM, or base64 of its 32 bytes, as `fairlead keys show` prints it"
        ) from None


def to_pem(public: str) -> str:
    """A public key as PEM, which other tools read."""
    body = base64.b64encode(_SPKI + _decode(public, _KEY_BYTES)).decode()
    return f"{_PEM_BEGIN}\n{body}\n{_PEM_END}\n"


def fingerprint(public: str) -> str:
    """A public key in short, for people to compare."""
    return f"sha256:{hashlib.sha256(_decode(public, _KEY_BYTES)).hexdigest()[:16]}"


def _message(kind: str, content: Any) -> bytes:
    return f"fairlead {kind} v1\0".encode() + canonical(content)


def _from_pem(text: str) -> str:
    body = "".join(text.removeprefix(_PEM_BEGIN).removesuffix(_PEM_END).split())
    whole = _decode(body, len(_SPKI) + _KEY_BYTES)
    if not whole.startswith(_SPKI):
        raise ValueError("another kind of key")
    return base64.b64encode(whole[len(_SPKI) :]).decode()


def _decode(text: str, length: int) -> bytes:
    """Base64 in its one canonical spelling: a signature must have no second form."""
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if len(content) != length or base64.b64encode(content).decode() != text:
        raise ValueError(f"not base64 of {length} bytes")
    return content


def _read_secret(path: Path) -> bytes:
    """Reads a file through the descriptor whose permissions were checked."""
    try:
        with path.open("rb") as file:
            _check_permissions(path, os.fstat(file.fileno()))
            return file.read(1 << 16)
    except OSError as error:
        raise ConfigurationError(
            f"the private key {path} cannot be read: {error.strerror}; FAIRLEAD_SIGNING_KEY names a file made by "
            "`fairlead keys new`"
        ) from None


def _check_permissions(path: Path, found: os.stat_result) -> None:
    """A file of ours is for us alone; one of root's that was mounted as a secret may be for our group."""
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"the private key {path} is no file; FAIRLEAD_SIGNING_KEY names a PEM file")
    if found.st_uid not in {os.geteuid(), 0}:
        raise ConfigurationError(f"the private key {path} belongs to another user; copy it, or run as that user")
    others = 0o077 if found.st_uid == os.geteuid() else 0o037
    if found.st_uid == 0 and settings().platform == "kubeflow":
        others = 0o022  # a Secret's volume has mode 644, which KFP cannot change, and lies in this container alone
    if found.st_mode & others:
        raise ConfigurationError(
            f"the private key {path} can be read by others (mode {stat.S_IMODE(found.st_mode):o}); run: "
            f"chmod 600 {path}, and replace the key if others may have read it"
        )

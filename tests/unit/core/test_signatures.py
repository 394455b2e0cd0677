"""Keys are made once, read by their owner only, and sign what other tools can check."""

import base64
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from fairlead import signatures
from fairlead.errors import ConfigurationError


@pytest.fixture
def key(tmp_path: Path) -> signatures.SigningKey:
    """A pair."""
    return signatures.make_private_key(tmp_path / "ci.pem")


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """A file with these permissions."""
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_signature_fits_only_what_was_signed(key: signatures.SigningKey, tmp_path: Path) -> None:
    """Not another content, kind, key or spelling of the signature."""
    signature = key.sign("verdict", {"a": 1})
    assert signatures.is_signed_by(key.public, "verdict", {"a": 1.0}, signature)
    other = signatures.make_private_key(tmp_path / "other.pem")
    for public, kind, content, given in [
        (key.public, "verdict", {"a": 2}, signature),
        (key.public, "policy", {"a": 1}, signature),
        (other.public, "verdict", {"a": 1}, signature),
        (key.public, "verdict", {"a": 1}, signature.rstrip("=")),
        (key.public, "verdict", {"a": 1}, signature + "\n"),
        (key.public, "verdict", {"a": 1}, ""),
        (key.public, "verdict", {"a": 1}, "é"),
        ("no key", "verdict", {"a": 1}, signature),
    ]:
        assert not signatures.is_signed_by(public, kind, content, given)


def test_other_tools_can_check_it(key: signatures.SigningKey) -> None:
    """Plain Ed25519 over a prefix and canonical JSON; the public key is ordinary PEM."""
    public = load_pem_public_key(signatures.to_pem(key.public).encode())
    assert isinstance(public, Ed25519PublicKey)
    signed = b'fairlead verdict v1\0{"a":[1,true]}'
    public.verify(base64.b64decode(key.sign("verdict", {"a": [1.0, True]})), signed)


def test_public_keys_are_read_as_pem_and_as_base64(key: signatures.SigningKey) -> None:
    """Both are one key; its fingerprint is short."""
    assert signatures.read_public_key(signatures.to_pem(key.public)) == key.public
    assert signatures.read_public_key(f" {key.public}\n") == key.public
    assert signatures.fingerprint(key.public).startswith("sha256:")


def test_what_is_no_public_key_is_refused(key: signatures.SigningKey, tmp_path: Path) -> None:
    """Rubbish, another kind of key, and above all a private key."""
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    from cryptography.hazmat.primitives.serialization import PublicFormat

    other = curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for text in ("", "abc", key.public[:-4], key.public + "AAAA", other):
        with pytest.raises(ValueError, match="no Ed25519 public key"):
            signatures.read_public_key(text)
    with pytest.raises(ValueError, match="private key"):
        signatures.read_public_key((tmp_path / "ci.pem").read_text())


def test_a_key_is_for_its_owner_only(key: signatures.SigningKey, tmp_path: Path) -> None:
    """It is made with mode 600 whatever the umask, never overwritten, and refused once others can read it."""
    file = tmp_path / "ci.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    assert signatures.read_private_key(file) == key
    with pytest.raises(ConfigurationError, match="not overwritten"):
        signatures.make_private_key(file)
    before = os.umask(0)
    try:
        signatures.make_private_key(tmp_path / "open.pem")
    finally:
        os.umask(before)
    assert (tmp_path / "open.pem").stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604, 0o660, 0o644):
        file.chmod(mode)
        with pytest.raises(ConfigurationError, match=f"chmod 600 {file}"):
            signatures.read_private_key(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_of_another_user_is_refused(key: signatures.SigningKey, tmp_path: Path) -> None:
    """Whoever owns the file could change the key."""
    os.chown(tmp_path / "ci.pem", 12345, -1)
    with pytest.raises(ConfigurationError, match="another user"):
        signatures.read_private_key(tmp_path / "ci.pem")


def test_what_is_no_private_key_is_refused(tmp_path: Path) -> None:
    """Each mistake has its own words."""
    form = (Encoding.PEM, PrivateFormat.PKCS8)
    locked = Ed25519PrivateKey.generate().private_bytes(*form, BestAvailableEncryption(b"secret"))
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(*form, NoEncryption())
    for content, complaint in [(b"no key", "no private key in PEM"), (locked, "pass phrase"), (other, "another kind")]:
        with pytest.raises(ConfigurationError, match=complaint):
            signatures.read_private_key(write(tmp_path / "key.pem", content))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        signatures.read_private_key(tmp_path / "none.pem")
    with pytest.raises(ConfigurationError, match=r"cannot be read|no file"):
        signatures.read_private_key(tmp_path)


def test_the_settings_name_the_key(key: signatures.SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting nothing is signed; without a name the file's counts."""
    assert signatures.signing_key() is None
    monkeypatch.setenv("FAIRLEAD_SIGNING_KEY", str(tmp_path / "ci.pem"))
    assert signatures.signing_key() == key
    monkeypatch.setenv("FAIRLEAD_SIGNING_NAME", "judges")
    found = signatures.signing_key()
    assert found is not None
    assert (found.name, found.public) == ("judges", key.public)
    assert "private" not in repr(found).lower()

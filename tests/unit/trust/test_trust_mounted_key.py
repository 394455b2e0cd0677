"""A private key that Kubernetes mounts: readable in its container, and nowhere else."""

import os
from pathlib import Path

import pytest

from fairlead.errors import ConfigurationError
from fairlead.signatures import make_private_key, signing_key


@pytest.mark.skipif(os.geteuid() != 0, reason="a Secret's files belong to root; run as root to make such a file")
@pytest.mark.parametrize(("mode", "platform", "taken"), [
    (0o644, "kubeflow", True), (0o644, "laptop", False), (0o600, "laptop", True), (0o666, "kubeflow", False),
])  # fmt: skip
def test_key_of_a_secret_s_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, platform: str, *, taken: bool
) -> None:
    """Secrets' volumes have mode 644, which KFP cannot change; elsewhere such a key is refused."""
    key = tmp_path / "key.pem"
    make_private_key(key)
    key.chmod(mode)
    monkeypatch.setenv("FAIRLEAD_SIGNING_KEY", str(key))
    monkeypatch.setenv("FAIRLEAD_PLATFORM", platform)
    if taken:
        assert signing_key() is not None
    else:
        with pytest.raises(ConfigurationError, match="others"):
            signing_key()

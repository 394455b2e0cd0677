"""A user's Python file runs as it is now."""

import sys
from pathlib import Path

import pytest

from fairlead.source_files import execute


def test_a_file_written_twice_within_a_second_runs_as_it_is_now(tmp_path: Path) -> None:
    """Same second, same length: what Python takes for unchanged."""
    file = tmp_path / "share.py"
    for share in ("0.2", "0.3", "0.4"):
        file.write_text(f"SHARE = {share}\n")
        assert float(share) == execute(file, "share_of_a_test").SHARE
    assert sys.modules.pop("share_of_a_test").SHARE == 0.4


def test_a_file_that_fails_leaves_no_module(tmp_path: Path) -> None:
    """Its error comes through; nothing half made is left for others to import."""
    file = tmp_path / "wrong.py"
    file.write_text("MADE = 1\nraise RuntimeError('not today')\n")
    with pytest.raises(RuntimeError, match="not today"):
        execute(file, "wrong_of_a_test")
    assert "wrong_of_a_test" not in sys.modules

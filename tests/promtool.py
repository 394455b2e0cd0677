"""Finds Prometheus' own checker of rules."""

import os
import shutil
from pathlib import Path

import pytest

CACHE = Path.home() / ".cache" / "fairlead-tests" / "bin"
INSTALL = f"GOBIN={CACHE} go install github.com/prometheus/prometheus/cmd/promtool@v0.316.0"
_NAMED = os.environ.get("FAIRLEAD_TEST_PROMTOOL", "")  # read before the fixtures take such variables away


def promtool() -> str:
    """The path of promtool: of the setting, the PATH or the cache; skips the test where there is none."""
    found = _NAMED or shutil.which("promtool") or shutil.which("promtool", path=CACHE)
    if not found:
        pytest.skip(f"there is no promtool; name it in FAIRLEAD_TEST_PROMTOOL, or: {INSTALL}")
    return found

"""What every test gets: state of its own, and an environment in which no setting of the developer's leaks in."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

QUIET = ("FAIRLEAD_TRACKING", "FAIRLEAD_ENERGY")  # a process beside each training; its own tests ask for it

settings.register_profile("fairlead", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("fairlead")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag that rewrites the golden files."""
    parser.addoption("--regenerate-golden", action="store_true", help="write the golden files anew, then compare")


@pytest.fixture(autouse=True, scope="session")
def session_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give fixtures that several tests share a state folder too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIRLEAD_HOME", str(tmp_path_factory.mktemp("state") / ".fairlead"))
        for name in QUIET:
            patch.setenv(name, "false")
        yield


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a state folder of its own and take every FAIRLEAD_ variable of the developer's away."""
    for name in [name for name in os.environ if name.startswith("FAIRLEAD_")]:
        monkeypatch.delenv(name)
    home = tmp_path / ".fairlead"
    monkeypatch.setenv("FAIRLEAD_HOME", str(home))
    for name in QUIET:
        monkeypatch.setenv(name, "false")
    return home


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return Path(__file__).resolve().parents[1]

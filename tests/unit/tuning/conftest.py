"""What the tests of tuning share: an empty study that is made once and copied, for making one takes half a second."""

import shutil
from pathlib import Path

import pytest

from fairlead.tuning import study
from fairlead.tuning.spec import TuneSpec


@pytest.fixture(scope="session")
def empty_studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the empty studies lie."""
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(autouse=True)
def copied_creation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, empty_studies: Path) -> None:
    """Copies a finished empty study, unless the test asks for `real_creation`."""
    if "real_creation" in request.fixturenames:
        return
    create = study._create

    def copy(file: Path, spec: TuneSpec) -> None:
        made = empty_studies / spec.objective.type
        if not made.exists():
            create(made, spec)
        shutil.copy(made, file)

    monkeypatch.setattr(study, "_create", copy)


@pytest.fixture
def real_creation() -> None:
    """Makes the study anew."""

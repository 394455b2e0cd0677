"""Every judge issues its verdict, so that it is signed wherever a key is set."""

from pathlib import Path

import pytest

import fairlead
from fairlead.registry.spec import JUDGES

LIBRARY = Path(fairlead.__file__).parent
TASKS = [path for path in sorted(LIBRARY.glob("*/*/task.py")) if "verdict: Path | str" in path.read_text()]


def test_every_judge_is_looked_at() -> None:
    """There is a task for each judge that a policy may name."""
    assert len(TASKS) == len(JUDGES), [str(path.relative_to(LIBRARY)) for path in TASKS]


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.parent.name)
def test_a_judge_issues_its_verdict(path: Path) -> None:
    """`write` passes a verdict on as it is; only `issue` signs."""
    text = path.read_text()
    assert ".issue(verdict)" in text
    assert ".write(verdict)" not in text

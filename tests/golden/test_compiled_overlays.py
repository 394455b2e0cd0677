"""The package of flights, configured by each overlay that ships, is the one in the tree.

It runs nearly every component, so a change of an overlay, of a component or of how options become settings shows here
as a difference to review. After a wanted change: `make golden`.
"""

import difflib
from pathlib import Path

import pytest

from fairlead_pipelines import catalog
from fairlead_pipelines.packages.compilation import compile_for
from fairlead_pipelines.packages.overlay import names

LONGEST_DIFFERENCE = 40


@pytest.mark.parametrize("overlay", names())
def test_configured_package_is_the_golden_one(overlay: str, pytestconfig: pytest.Config) -> None:
    """A fresh compile equals the package in the tree, line by line; a missing golden file fails."""
    golden = catalog.COMPILED / overlay / "flights.yaml"
    fresh = compile_for("flights", overlay, "").package.text()
    held = golden.read_text(encoding="utf-8") if golden.exists() else ""
    if pytestconfig.getoption("--regenerate-golden") and held != fresh:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(fresh, encoding="utf-8")
        held = fresh
    assert held, f"{golden} is missing: make it by `make golden` and review it"
    difference = list(difflib.unified_diff(held.splitlines(), fresh.splitlines(), "golden", "now"))[:LONGEST_DIFFERENCE]
    assert not difference, "\n".join(["the package has changed; if that is wanted: `make golden`", *difference])


def test_no_golden_file_is_an_orphan() -> None:
    """Every configured package in the tree belongs to an overlay that ships."""
    found = {path.relative_to(catalog.COMPILED) for path in catalog.COMPILED.glob("*/*.yaml")}
    assert found == {Path(overlay) / "flights.yaml" for overlay in names()}

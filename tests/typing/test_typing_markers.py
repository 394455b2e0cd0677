"""The installed packages tell type checkers that they are typed."""

import importlib.resources

import pytest


@pytest.mark.parametrize("package", ["fairlead", "fairlead_pipelines", "fairlead_serving"])
def test_package_is_marked_as_typed(package: str) -> None:
    """py.typed travels with each package, so that a user's mypy reads fairlead's annotations."""
    assert importlib.resources.files(package).joinpath("py.typed").is_file()

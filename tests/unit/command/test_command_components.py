"""`fairlead components`: what it shows comes from the component itself."""

from typing import NamedTuple, Optional

import pytest
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output
from rich.console import Console

from fairlead.errors import ConfigurationError
from fairlead_pipelines.command import components


@dsl.component(base_image="image", install_kfp_package=False, packages_to_install=[])
def fetch_thing(  # noqa: D417 - outputs are described below Returns, where KFP looks
    dataset: Input[Dataset],
    package: Output[Model],
    name: str,
    options: dict = {},  # noqa: B006 - as components have it
    best: Optional[Input[Artifact]] = None,  # noqa: UP045 - KFP reads Optional
) -> NamedTuple("Outputs", [("found", bool)]):  # type: ignore[valid-type]
    """Fetches a thing [not markup]
    from a place.

    At length.

    Args:
        dataset: The rows
            on two lines.
        name: Its name.
        options: Its options.
        best: The best one.

    Returns:
        package: The thing itself.
        found: Whether it was there.
    """  # noqa: D205 - a summary on two lines must be shown whole; outputs are described below Returns
    return (True,)


def printed(*parts: object) -> str:
    """Return what rich prints on a wide terminal."""
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part, highlight=False)
    return capture.get()


def test_the_catalog_has_a_line_for_each() -> None:
    """Name and summary, the summary on one line and its brackets untouched."""
    assert "Fetches a thing [not markup] from a place." in printed(
        components.catalog_table({"fetch_thing": fetch_thing})
    )


def test_one_component_shows_all_its_ports() -> None:
    """Inputs with type and default, outputs with type, all with their description; no docstring section as it is."""
    text = printed(*components.component_view(fetch_thing))
    rows = [" ".join(line.split()) for line in text.splitlines()]
    for row in (
        "dataset Dataset required The rows on two lines.", "name str required Its name.",
        "options dict {} Its options.", "best Artifact none The best one.", "package Model The thing itself.",
        "found bool Whether it was there.", "At length.",
    ):  # fmt: skip
        assert row in rows
    assert "Args:" not in text


def test_a_wrong_name_gets_the_nearest_right_one() -> None:
    """Dashes are as good as underscores; anything else is an error that helps."""
    assert components._pick({"fetch_thing": fetch_thing}, "fetch-thing") is fetch_thing
    with pytest.raises(ConfigurationError, match="did you mean 'fetch_thing'"):
        components._pick({"fetch_thing": fetch_thing}, "fetch_thin")

"""Pages with small pictures, confusion matrices and reliability diagrams with intervals."""

import base64
import re

import numpy as np
import pytest

from fairlead import plots
from fairlead.pages import Page
from fairlead_serving.images import write_png


def test_pictures_are_inline_and_captions_escaped() -> None:
    """Each picture is a data URI of its kind with its caption below; the page still fetches nothing."""
    png = write_png(np.zeros((4, 4), np.uint8))
    page = Page("Pictures").pictures([(png, "<b>cat</b>\nis dog"), (b"\xff\xd8\xff\xe0", "")]).render()
    found = re.findall(r'<img src="data:image/(\w+);base64,([^"]*)"', page)
    assert [kind for kind, _ in found] == ["png", "jpeg"]
    assert base64.b64decode(found[0][1]) == png
    assert "&lt;b&gt;cat&lt;/b&gt;\nis dog</figcaption>" in page
    assert "img-src data:" in page
    assert page.count("<figcaption>") == 1


def test_what_is_no_picture_is_refused() -> None:
    """A page holds PNG and JPEG files; anything else is a mistake of whoever writes the page."""
    with pytest.raises(ValueError, match="PNG and JPEG"):
        Page("Pictures").pictures([(b"GIF89a", "a cat")])


def test_a_matrix_shows_its_cells_and_names() -> None:
    """Texts, row names and column names are in the drawing; many names stand upright."""
    figure, axes = plots.figure()
    plots.matrix(axes, [[0.9, 0.1], [0.0, 1.0]], [["9", "1"], ["", "7"]], ["cat", "dog"], ["cat", "dog"])
    page = Page("Matrix").figure(figure, "What is taken for what.").render()
    for text in (">9<", ">7<", ">cat<", ">dog<"):
        assert text in page
    _, wide = plots.figure()
    names = [f"class {n}" for n in range(12)]
    plots.matrix(wide, np.eye(12), [[""] * 12] * 12, names, names)
    assert {label.get_rotation() for label in wide.get_xticklabels()} == {90}


def test_reliability_shows_intervals_and_keeps_colours() -> None:
    """Bars belong to their model: two models have the first two colours."""
    _, axes = plots.figure()
    for name in ("before", "after"):
        plots.reliability(axes, [0.2, 0.8], [0.3, 0.7], name, [10, 10], ([0.1, 0.6], [0.4, 0.9]))
    drawn = [line.get_color() for line in axes.lines if line.get_label() in ("before", "after")]
    assert drawn == list(plots.SERIES[:2])

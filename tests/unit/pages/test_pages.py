"""Pages: escaping, determinism, ids that survive a merge, numbers as people read them."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fairlead import pages, plots
from fairlead.pages import Page

HOSTILE = "<script>alert(1)</script>\"'&\x00\ud800"


class _Reader(HTMLParser):
    """Collects what a browser would see: tags, ids, references, and whether every tag is closed."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(markup: str) -> _Reader:
    """Parse markup; a tag that is closed out of turn fails the test."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    assert reader.open == []
    return reader


def full_page(title: str = "A page") -> Page:
    """Return a page with one of everything."""
    figure, axes = plots.figure(4, 3)
    plots.line(axes, [0, 1, 2], [1.0, 2.0, 1.5], label="a", band=([0.9, 1.9, 1.4], [1.1, 2.1, 1.6]))
    plots.label(axes, "x", "y")
    page = Page(title).heading("Part").text("words").note("careful", "warn").facts({"rows": 3})
    return page.table(["a", "b"], [["x", 1]]).code("curl x").figure(figure, "what it shows")


def test_everything_given_is_escaped() -> None:
    """Hostile text in every place comes out as text: no tag, no broken attribute, no control character."""
    page = Page(HOSTILE).heading(HOSTILE).text(HOSTILE).note(HOSTILE).code(HOSTILE).facts({HOSTILE: HOSTILE})
    page.table([HOSTILE], [[HOSTILE]], HOSTILE)
    figure, axes = plots.figure(3, 2)
    plots.label(axes, HOSTILE[:24], title="<b>")
    markup = page.figure(figure, HOSTILE).render()
    assert "script" not in read(markup).tags
    assert "\x00" not in markup
    assert markup.encode()


def test_a_page_is_one_document_with_one_main() -> None:
    """Every tag is closed; the content lies inside <main>; there is nothing to fetch or to run."""
    reader = read(full_page().render())
    assert reader.tags.count("main") == 1
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two pages made apart are equal, figures included."""
    for name in ("one", "two"):
        full_page().write(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_ids_are_unique_and_references_resolve() -> None:
    """Two equal figures on a page share no id, and every reference inside the page points to one that is there."""
    page = Page("Twice")
    for _ in range(2):
        figure, axes = plots.figure(3, 2)
        axes.plot([0, 1], [0, 1])
        page.figure(figure)
    markup = page.render()
    ids = read(markup).ids
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', markup)) <= set(ids)


def test_prefixing_keeps_references_whole() -> None:
    """A prefix goes to ids and to all that refers to them, and to nothing in the text."""
    markup = '<g id="a"><use href="#a"/><p clip-path="url(#a)">id="a" #a</p></g>'
    assert pages.prefix_ids(markup, "t") == '<g id="t-a"><use href="#t-a"/><p clip-path="url(#t-a)">id="a" #a</p></g>'


def test_figures_follow_the_readers_colours() -> None:
    """Text and axes take the page's colour; the paper behind a figure shows through."""
    markup = full_page().render()
    figure = markup[markup.index("<figure>") :]
    assert "#000000" not in figure
    assert "#ffffff" not in figure
    assert "fill:currentColor" in pages.STYLE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"), (2013, "2013"), (336776, "336,776"), (-12345, "-12,345"), (0.731249, "0.7312"), (12.3456, "12.35"),
        (1234.5678, "1235"), (98765.4, "98,765"), (0.0, "0"), (3.0, "3"), (1.2344e-7, "1.234e-7"), (0.5, "0.5000"),
        (float("nan"), "—"), (math.inf, "∞"), (-math.inf, "-∞"), (1e21, "1,000,000,000,000,000,000,000"),
        (99999.96, "100,000"), (9.99999, "10.00"),
    ],
)  # fmt: skip
def test_numbers_read_well(value: float, text: str) -> None:
    """Four significant digits, thousands from 10,000 on, years untouched."""
    assert pages.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (True, "yes"),
        (np.False_, "no"),
        (np.float32(0.25), "0.2500"),
        (np.int64(12000), "12,000"),
        ("x", "x"),
    ],
)
def test_any_value_can_be_shown(value: object, text: str) -> None:
    """None, booleans and NumPy's scalars are shown like Python's own."""
    assert pages.shown(value) == text


def test_number_columns_are_set_right_in_spite_of_gaps() -> None:
    """A column of numbers and gaps is a column of numbers; one with text is not."""
    markup = pages.table(["n", "t"], [[1, 1], [None, "a"], [np.float64(2), 2]])
    assert markup.count('<td class="n">') == 3


def test_a_row_of_another_length_is_refused() -> None:
    """A row that lacks a value is the caller's mistake, not a shifted table."""
    with pytest.raises(ValueError, match=r"shorter|longer"):
        Page("x").table(["a", "b"], [[1]])


def test_writing_replaces_the_page_as_a_whole(tmp_path: Path) -> None:
    """The second page takes the place of the first; nothing else is left in the folder."""
    Page("first").write(tmp_path / "page.html")
    Page("second").write(tmp_path / "page.html")
    assert "second" in (tmp_path / "page.html").read_text()
    assert len(list(tmp_path.iterdir())) == 1

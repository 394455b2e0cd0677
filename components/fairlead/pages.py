"""HTML pages that stand alone: one file, no script, figures as inline SVG.

A page is what a component's HTML artifact holds. Its content lies inside `<main>`, where the report of a run collects
it. Everything given as text is escaped; nothing here takes markup. The same content gives the same bytes.

    page = Page("Evaluation of flights")
    page.facts({"rows": 51_234, "ROC AUC": 0.7312})
    page.heading("Calibration")
    page.figure(figure, "Predicted and observed delays agree within 2 %.")
    page.write(path)
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from fairlead import atomic
from fairlead.page_style import STYLE
from fairlead.pictures import grid as pictures_grid
from fairlead.values import DIGEST, number, plain, short_digests, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "STYLE",
    "Kind",
    "Page",
    "document",
    "escape",
    "facts",
    "inline_svg",
    "marked",
    "number",
    "prefix_ids",
    "shown",
    "table",
]

Kind = Literal["info", "good", "warn", "bad"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # nothing runs, nothing is fetched
_MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\d) (\d\d:\d\d(?::\d\d)?(?: UTC)?)")
_BARS = re.compile(r"[▁-█ ]*[▁-█]")  # a small histogram, of which spaces are a part
_MOST_SPANS = 2  # columns of numbers with what they span; more of them stand below the numbers
_LONG = 40  # rows; a longer table scrolls
_WIDE_FACT = 28  # characters; a longer value gets a row of its own
# A number in words, with what it spans.
_FIGURE = re.compile(r"([<≈]?[-+]?[\d.,]+(?:e-?\d+)?(?: %)?)(?: (\([^()]+\)))?|—|")


def escape(value: Any) -> str:
    """Return any value as text that is safe inside HTML and inside quoted attributes."""
    return html.escape(_printable(shown(value)))


def marked(value: Any) -> str:
    """Return any value as markup: escaped, digests shortened with the whole at hand, times and intervals kept together.

    Args:
        value: What to show; see `fairlead.values.shown`.
    """
    text = escape(value)
    if _BARS.fullmatch(text):
        return f'<span class="bars">{text}</span>'
    found = _FIGURE.fullmatch(text)
    if found and found[2] and " to " in found[2]:
        return f"{found[1]} <small>{found[2]}</small>"
    text = _MOMENT.sub(r'<span class="t">\1</span> <span class="t">\2</span>', text)
    return DIGEST.sub(r'<code title="\g<0>">\1</code>', text)


def _printable(text: str) -> str:
    """Return text without control characters and lone surrogates, which no HTML document may hold."""
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(char for char in encodable if char >= " " or char in "\t\n")


def document(title: str, header: str, main: str, style: str = "") -> str:
    """Return a whole HTML document around markup that was made by this package.

    Args:
        title: Plain text for the window's title.
        header: Markup above the content.
        main: Markup of the content.
        style: CSS rules beyond those of every page.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        f"<header>{header}</header>\n<main>\n{main}\n</main>\n</body>\n</html>\n"
    )


def facts(mapping: Mapping[str, Any]) -> str:
    """Return markup for named values, each on a card."""
    cards = []
    for name, value in mapping.items():
        longest = max(
            map(len, re.split(r" (?=\()", short_digests(shown(value))))
        )  # what a number spans stands below it
        wide = ' class="wide"' if longest > _WIDE_FACT else ""
        cards.append(f"<div{wide}><dt>{escape(name)}</dt><dd>{marked(value) or '—'}</dd></div>")
    return f'<dl class="facts">{"".join(cards)}</dl>'


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """Return markup for a table which scrolls if it is long; columns of numbers are set right.

    Args:
        headers: The columns' names.
        rows: One value a column.
        caption: Plain text above the table.
    """
    body = [list(row) for row in rows]
    right = [_numeric(row[i] for row in body if i < len(row)) for i in range(len(headers))]
    marks = [' class="n"' if numeric else "" for numeric in right]
    head = "".join(f"<th{mark}>{escape(name)}</th>" for name, mark in zip(headers, marks, strict=True))
    lines = ["<tr>" + "".join(_cells(row, marks)) + "</tr>" for row in body]
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    spans = sum("<small>" in cell for row in body[:1] for cell in map(marked, row))
    kind = f"table{' stacked' if spans > _MOST_SPANS else ''}{' long' if len(body) > _LONG else ''}"
    rows_below = "".join(lines)
    return f'<div class="{kind}"><table>{above}<thead><tr>{head}</tr></thead><tbody>{rows_below}</tbody></table></div>'


def _cells(row: Sequence[Any], marks: Sequence[str]) -> Iterable[str]:
    """Yield a row's cells: a row of another length than the header is a mistake of the caller."""
    return (f"<td{mark}>{marked(value)}</td>" for value, mark in zip(row, marks, strict=True))


def _numeric(values: Iterable[Any]) -> bool:
    """Tell whether a column holds numbers, as such or in words, and otherwise only gaps."""
    present = [value for value in map(plain, values) if value is not None]
    return any(value != "" for value in present) and all(
        not isinstance(value, bool) and (isinstance(value, int | float) or bool(_FIGURE.fullmatch(str(value))))
        for value in present
    )


def inline_svg(figure: Figure, name: str, description: str = "") -> str:
    """Return a figure as SVG that can stand in a page beside others.

    Text stays text, black becomes the page's text colour, and every id begins with a digest of the drawing and name.

    Args:
        figure: A matplotlib figure.
        name: Distinguishes two equal drawings within one page.
        description: What it shows, for those who cannot see it.
    """
    drawn = _draw(figure)
    prefix = "f" + hashlib.sha256(f"{name}\0{drawn}".encode("utf-8", "replace")).hexdigest()[:10]
    body = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", drawn, flags=re.DOTALL)
    body = body[body.index("<svg") :].replace("#000000", "currentColor")
    return prefix_ids(body, prefix).replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1)


def _draw(figure: Figure) -> str:
    """Return matplotlib's own SVG of a figure, the same for the same figure."""
    import io

    import matplotlib as mpl

    for axes in figure.axes:
        legend = axes.get_legend()
        if legend is not None:
            legend.get_frame().set_facecolor("none")
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fairlead"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _printable(buffer.getvalue()).strip()


def prefix_ids(markup: str, prefix: str) -> str:
    """Return markup with every id, and every reference to one, prefixed: pages can then be merged.

    Args:
        markup: HTML or SVG made by this module.
        prefix: Letters and digits, the first a letter.
    """
    marked = re.sub(r'(<[^<>]*?\sid=")', rf"\1{prefix}-", markup)
    return re.sub(r'(<[^<>]*?(?:url\(|href=")#)', rf"\1{prefix}-", marked)


class Page:
    """A page under construction: each method adds below what is there and returns the page."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = []
        self._figures = 0

    def heading(self, text: str, level: int = 2) -> Self:
        """Add a heading of level 2 (the page's title is level 1) to 4."""
        level = min(max(level, 2), 4)
        return self._add(f"<h{level}>{escape(text)}</h{level}>")

    def text(self, text: str) -> Self:
        """Add a paragraph; line breaks are kept."""
        return self._add(f"<p>{marked(text)}</p>")

    def note(self, text: str, kind: Kind = "info") -> Self:
        """Add a paragraph that stands out.

        Args:
            text: What to notice.
            kind: "info", "good", "warn" or "bad".
        """
        return self._add(f'<p class="note {escape(kind)}">{marked(text)}</p>')

    def facts(self, mapping: Mapping[str, Any]) -> Self:
        """Add named values, each on a card."""
        return self._add(facts(mapping))

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Self:
        """Add a table; see `table`.

        Raises:
            ValueError: A row has another number of values than there are headers.
        """
        return self._add(table(headers, rows, caption))

    def figure(self, figure: Figure, caption: str = "") -> Self:
        """Add a matplotlib figure as inline SVG, with a caption that says what to see in it."""
        self._figures += 1
        svg = inline_svg(figure, f"{self.title}\0{self._figures}", caption)
        below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        return self._add(f"<figure>{svg}{below}</figure>")

    def pictures(self, pictures: Iterable[tuple[bytes, str]], columns: int = 0) -> Self:
        """Add small pictures, each with a word below it; see `fairlead.pictures.grid`."""
        return self._add(pictures_grid(pictures, columns))

    def code(self, text: str) -> Self:
        """Add text in a fixed-width block, as it is."""
        return self._add(f"<pre>{escape(text)}</pre>")

    @contextmanager
    def folded(self, summary: str) -> Iterator[Self]:
        """Put what is added meanwhile behind a line which opens it: for what few readers ask for.

        Args:
            summary: What lies behind the line.
        """
        outer, self._parts = self._parts, []
        try:
            yield self
        finally:
            inner, self._parts = self._parts, outer
            self._add(f"<details><summary>{escape(summary)}</summary>{''.join(inner)}</details>")

    def render(self) -> str:
        """Return the whole document."""
        return document(self.title, f"<h1>{escape(self.title)}</h1>", "\n".join(self._parts))

    def write(self, path: str | Path) -> None:
        """Write the page in one step: a reader sees all of it or none.

        Args:
            path: The file; an existing one is replaced.
        """
        atomic.write_text(Path(path), self.render())

    def _add(self, markup: str) -> Self:
        """Append markup."""
        self._parts.append(markup)
        return self

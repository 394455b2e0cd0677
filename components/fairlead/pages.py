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
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from fairlead import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["info", "good", "warn", "bad"]

STYLE = """
:root{color-scheme:light dark;--paper:#fbfbf9;--card:#fff;--ink:#1d2733;--soft:#5c6876;--rule:#e0e4e8;--head:#f3f5f6;
--accent:#2b6cb0;--good:#1d7f5f;--warn:#9a6700;--bad:#b3372b}
@media(prefers-color-scheme:dark){:root{--paper:#14181d;--card:#1b2027;--ink:#e3e7ec;--soft:#9aa5b1;--rule:#313943;
--head:#232a32;--accent:#7ab2ec;--good:#4cc19a;--warn:#dfb04b;--bad:#f08578}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"DejaVu Sans",sans-serif}
body>header,main{max-width:62rem;margin:0 auto;padding:0 1.5rem}
body>header{padding-top:2rem}main{padding-bottom:3rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .6rem}h2{font-size:1.25rem;margin:2rem 0 .6rem}
h3{font-size:1.05rem;margin:1.5rem 0 .5rem}h4{font-size:.95rem;margin:1.2rem 0 .4rem}
a{color:var(--accent)}
p{margin:.5rem 0;max-width:46rem;white-space:pre-line;overflow-wrap:anywhere}
.note{border-left:4px solid var(--accent);background:var(--card);padding:.55rem .9rem;border-radius:0 6px 6px 0;
margin:.8rem 0;max-width:none}
.good{border-color:var(--good)}.warn{border-color:var(--warn)}.bad{border-color:var(--bad)}
dl.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.6rem;margin:.9rem 0}
dl.facts>div{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.5rem .8rem;min-width:0}
dl.facts>.wide{grid-column:1/-1}
dl.facts dt{color:var(--soft);font-size:.8rem}
dl.facts dd{margin:0;font-size:1.08rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
dl.facts .wide dd{font-size:.92rem}
.table{overflow:auto;max-height:32rem;border:1px solid var(--rule);border-radius:8px;background:var(--card);
margin:.9rem 0}
table{border-collapse:collapse;width:100%;font-size:.9rem}
caption{caption-side:top;text-align:left;color:var(--soft);padding:.5rem .8rem}
th,td{padding:.32rem .8rem;text-align:left;vertical-align:top;border-top:1px solid var(--rule)}
thead th{position:sticky;top:0;background:var(--head);border-top:0;font-weight:600;white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tbody tr:hover{background:var(--head)}
figure{margin:1rem 0;background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.8rem}
figure svg{display:block;margin:0 auto;max-width:100%;height:auto;fill:currentColor}
figure svg *{stroke-linejoin:round;stroke-linecap:butt}
figure svg text{font-family:inherit!important}
figcaption{color:var(--soft);font-size:.88rem;margin-top:.5rem}
code,pre{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.88em}
pre{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.7rem .9rem;overflow:auto}
@media print{.table{max-height:none}figure,dl.facts>div{break-inside:avoid}}
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # nothing runs, nothing is fetched
_THOUSANDS_FROM = 10_000  # below it a number may be a year
_WIDE_FACT = 28  # characters; a longer value gets a row of its own


def number(value: float) -> str:
    """Return a number as people read it: 4 significant digits, thousands from 10,000 on.

    Args:
        value: An integer, which keeps all its digits, or a float.
    """
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= _THOUSANDS_FROM else str(value)
    if not math.isfinite(value):
        return "—" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value.is_integer():
        return number(int(value))
    if abs(value) < 1e-4:  # noqa: PLR2004 - from here on zeros would outnumber digits
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if abs(value) >= _THOUSANDS_FROM:
        return f"{value:,.0f}"
    rounded = float(f"{value:.4g}")
    return f"{value:.{max(0, 3 - math.floor(math.log10(abs(rounded))))}f}"


def shown(value: Any) -> str:
    """Return any value as plain text for a page (not escaped).

    Args:
        value: Numbers are shortened by `number`, None is a dash, booleans are yes and no, the rest is `str`.
    """
    value = _plain(value)
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)


def _plain(value: Any) -> Any:
    """Return Python's own value of a NumPy scalar; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def escape(value: Any) -> str:
    """Return any value as text that is safe inside HTML and inside quoted attributes."""
    return html.escape(_printable(shown(value)))


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
        wide = ' class="wide"' if len(shown(value)) > _WIDE_FACT else ""
        cards.append(f"<div{wide}><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>")
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
    return (
        f'<div class="table"><table>{above}<thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def _cells(row: Sequence[Any], marks: Sequence[str]) -> Iterable[str]:
    """Yield a row's cells: a row of another length than the header is a mistake of the caller."""
    return (f"<td{mark}>{escape(value)}</td>" for value, mark in zip(row, marks, strict=True))


def _numeric(values: Iterable[Any]) -> bool:
    """Tell whether a column holds numbers and otherwise only gaps."""
    present = [plain for value in values if (plain := _plain(value)) is not None]
    return bool(present) and all(isinstance(plain, int | float) and not isinstance(plain, bool) for plain in present)


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

    def heading(self, text: str, level: int = 2) -> Self:
        """Add a heading of level 2 (the page's title is level 1) to 4."""
        level = min(max(level, 2), 4)
        return self._add(f"<h{level}>{escape(text)}</h{level}>")

    def text(self, text: str) -> Self:
        """Add a paragraph; line breaks are kept."""
        return self._add(f"<p>{escape(text)}</p>")

    def note(self, text: str, kind: Kind = "info") -> Self:
        """Add a paragraph that stands out.

        Args:
            text: What to notice.
            kind: "info", "good", "warn" or "bad".
        """
        return self._add(f'<p class="note {escape(kind)}">{escape(text)}</p>')

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
        svg = inline_svg(figure, f"{self.title}\0{len(self._parts)}", caption)
        below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        return self._add(f"<figure>{svg}{below}</figure>")

    def code(self, text: str) -> Self:
        """Add text in a fixed-width block, as it is."""
        return self._add(f"<pre>{escape(text)}</pre>")

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

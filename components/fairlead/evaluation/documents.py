"""Documents that are written once and told twice, as Markdown and as a page: model cards and datasheets.

What a person wrote and what was measured both pass as plain text: neither can bring markup into a document.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fairlead.pages import Kind, Page
from fairlead.values import DIGEST, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOT_RECORDED = "not recorded"

_MARKS = re.compile(r"[\\`*\[\]<>|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|&(?=#?\w+;)")
_BEGINNING = re.compile(r"^([#+=-]|\d+(?=[.)]))", re.MULTILINE)


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Note:
    """A paragraph that stands out."""

    text: str
    kind: Kind = "info"


@dataclass(frozen=True)
class Bullets:
    """Points."""

    items: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Named values; None is told as not recorded."""

    values: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows of values under headers; None is a dash."""

    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure for the page alone: what it shows also stands in a table."""

    figure: "Figure"
    caption: str


Block = Text | Note | Bullets | Facts | Table | Picture


@dataclass(frozen=True)
class Chapter:
    """A heading and what is below it.

    Attributes:
        heading: Plain text.
        blocks: In order.
        parts: Chapters of the next level.
    """

    heading: str
    blocks: Sequence[Block] = ()
    parts: Sequence["Chapter"] = ()


@dataclass(frozen=True)
class Document:
    """A whole document.

    Attributes:
        title: Plain text.
        lead: What stands above the first chapter.
        chapters: In order.
    """

    title: str
    lead: Sequence[Block] = ()
    chapters: Sequence[Chapter] = field(default_factory=tuple)


def answer(given: str | Sequence[str] | None) -> Block:
    """What a person wrote in answer to a question: a paragraph, points, or that there is no answer."""
    points = (given,) if isinstance(given, str) else tuple(given or ())
    if len(points) > 1:
        return Bullets(points)
    return Text((points[0] if points else "") or NOT_RECORDED)


def markdown(document: Document) -> str:
    """The document as Markdown (CommonMark with tables)."""
    parts = [f"# {_escape(document.title)}", *map(_block, document.lead)]
    for chapter in document.chapters:
        parts += _chapter(chapter, 2)
    return "\n\n".join(filter(None, parts)) + "\n"


def page(document: Document) -> Page:
    """The document as a page."""
    made = Page(document.title)
    _add(made, document.lead)
    for chapter in document.chapters:
        _add_chapter(made, chapter, 2)
    return made


def _chapter(chapter: Chapter, level: int) -> Iterable[str]:
    yield f"{'#' * level} {_escape(chapter.heading)}"
    yield from map(_block, chapter.blocks)
    for part in chapter.parts:
        yield from _chapter(part, level + 1)


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return _escape(block.text)
    if isinstance(block, Note):
        return "\n".join(f"> {line}" for line in _escape(block.text).splitlines())
    if isinstance(block, Bullets):
        return "\n".join(f"- {' '.join(_escape(item).splitlines())}" for item in block.items)
    if isinstance(block, Facts):
        return "\n".join(f"- **{_cell(name)}:** {_cell(_told(value))}" for name, value in block.values.items())
    return _table(block) if isinstance(block, Table) else ""


def _table(table: Table) -> str:
    """A pipe table; columns of numbers are set right."""
    lines = [[_cell(name) for name in table.headers], *([_cell(shown(value)) for value in row] for row in table.rows)]
    right = [bool(table.rows) and all(_is_number(row[i]) for row in table.rows) for i in range(len(table.headers))]
    rows = [f"| {' | '.join(line)} |" for line in lines]
    rows.insert(1, f"|{'|'.join('---:' if number else '---' for number in right)}|")
    caption = f"{_escape(table.caption)}\n\n" if table.caption else ""
    return caption + "\n".join(rows)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _told(value: Any) -> str:
    if value is None or value == "":
        return NOT_RECORDED
    return ", ".join(map(shown, value)) if isinstance(value, list | tuple) else shown(value)


def _cell(text: str) -> str:
    """Text on one line, in which Markdown finds no markup; digests as code."""
    return DIGEST.sub(r"`\g<0>`", _MARKS.sub(r"\\\g<0>", " ".join(text.splitlines()).strip()))


def _escape(text: str) -> str:
    """Text of several lines, of which none begins a heading, a list or a rule."""
    lines = "\n".join(map(_cell, text.splitlines()))
    return _BEGINNING.sub(lambda m: f"{m[0]}\\" if m[0].isdigit() else f"\\{m[0]}", lines)


def _add_chapter(made: Page, chapter: Chapter, level: int) -> None:
    made.heading(chapter.heading, level)
    _add(made, chapter.blocks)
    for part in chapter.parts:
        _add_chapter(made, part, level + 1)


def _add(made: Page, blocks: Iterable[Block]) -> None:
    for block in blocks:
        if isinstance(block, Text):
            made.text(block.text)
        elif isinstance(block, Note):
            made.note(block.text, block.kind)
        elif isinstance(block, Bullets):
            made.text("\n".join(f"• {item}" for item in block.items))
        elif isinstance(block, Facts):
            made.facts({name: _told(value) for name, value in block.values.items()})
        elif isinstance(block, Table):
            made.table(block.headers, block.rows, block.caption)
        else:
            made.figure(block.figure, block.caption)

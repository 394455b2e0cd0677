"""Reads documents back as a reader sees them: the tables and the words of Markdown and of pages."""

from html.parser import HTMLParser

from markdown_it import MarkdownIt


class _Reader(HTMLParser):
    """Collects tables, headings and words."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tags: list[str] = []
        self.words = ""
        self._hidden = 0
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opens a table, a row, a cell."""
        self.tags.append(tag)
        self._hidden += tag in {"style", "svg", "title"}
        title = dict(attrs).get("title")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
            self._inside = True
        elif tag == "code" and title:
            self._take(title)  # the whole digest, of which the page shows the beginning
            self._hidden += 1

    def handle_endtag(self, tag: str) -> None:
        """Closes them."""
        self._hidden -= tag in {"style", "svg", "title"} or (tag == "code" and self._hidden > 0)
        self._inside &= tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        """Takes what is shown."""
        if not self._hidden:
            self._take(data)

    def _take(self, data: str) -> None:
        self.words += f"{data}\n" if not self._inside else f"{data} "
        if self._inside:
            self.tables[-1][-1][-1] += data


def read_html(text: str) -> _Reader:
    """What a browser would show of a page."""
    reader = _Reader()
    reader.feed(text)
    return reader


def read_markdown(text: str) -> _Reader:
    """What a reader of Markdown would see."""
    return read_html(MarkdownIt("commonmark").enable("table").render(text))


def cells(reader: _Reader) -> list[list[list[str]]]:
    """The tables' cells, spaces between words alone."""
    return [[[" ".join(cell.split()) for cell in row] for row in table] for table in reader.tables]

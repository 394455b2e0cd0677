"""Whatever is written into a document is read out of it."""

from hypothesis import given
from hypothesis import strategies as st
from reading import cells, read_html, read_markdown

from fairlead.evaluation.documents import Bullets, Chapter, Document, Table, Text, markdown, page

MARKUP = st.text(st.sampled_from(list("ab1 \n.#*_`|<>[]()&;!-+=~\\:/\"'é漢")), max_size=24)


def words(text: str) -> str:
    """Texts without spaces, which documents are free to change."""
    return "".join(text.split())


@given(st.lists(MARKUP, min_size=1, max_size=4))
def test_texts_are_read_as_they_were_written(texts: list[str]) -> None:
    """In paragraphs and points, in both forms, word for word."""
    made = Document("title", [Text(text) for text in texts], [Chapter("chapter", [Bullets(texts)])])
    expected = words("title" + "".join(texts) + "chapter" + "".join(texts))
    assert words(read_markdown(markdown(made)).words) == expected
    html = words(read_html(page(made).render().replace("• ", "")).words)
    assert html == expected.replace("•", "")


@given(st.lists(st.tuples(MARKUP, MARKUP), min_size=1, max_size=4))
def test_cells_are_read_as_they_were_written(rows: list[tuple[str, str]]) -> None:
    """A table has the same cells in both forms."""
    made = Document("title", [Table(("a", "b"), rows)])
    found = cells(read_markdown(markdown(made)))
    assert found == cells(read_html(page(made).render()))
    assert [[words(cell) for cell in row] for row in found[0][1:]] == [[words(a), words(b)] for a, b in rows]

"""Documents say the same as Markdown and as pages, and nothing in them can be markup."""

import pytest
from reading import cells, read_html, read_markdown

from fairlead.evaluation.documents import (
    Block,
    Bullets,
    Chapter,
    Document,
    Facts,
    Note,
    Picture,
    Table,
    Text,
    answer,
    markdown,
    page,
)
from fairlead.plots import figure

HOSTILE = [
    "<script>alert(1)</script>", "| a | b |", "# no heading", "- no point", "1. no list", "*no* _stress_ `code`",
    "[link](http://example.org)", "![picture](x.png)", "&lt; &amp; &#60;", "a\n\n# b", "\\", "~~~", "===", "+ 1",
    "<http://example.org>", "---", "2) x", "a_b_c",
]  # fmt: skip


def everything(text: str) -> Document:
    """A document with a text in every place."""
    table = Table((text, "figure"), [(text, 0.5), (None, 12345)], text)
    blocks: list[Block] = [
        Text(text),
        Note(text, "warn"),
        Bullets((text, "second")),
        Facts({text: text, "b": None}),
        table,
    ]
    return Document(text, blocks, [Chapter(text, blocks, [Chapter(text, [Text("last")])])])


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_stay_texts(text: str) -> None:
    """Whoever writes a card cannot bring a script, a link or a table into it, nor break it."""
    made = everything(text)
    for reader in (read_markdown(markdown(made)), read_html(page(made).render())):
        assert not {"script", "a", "img", "em", "s", "del"} & set(reader.tags)
        assert cells(reader) == cells(read_html(page(made).render()))
        shown = " ".join(reader.words.split())
        assert shown.count(" ".join(text.split())) >= 10
    heads = [tag for tag in read_markdown(markdown(made)).tags if tag in {"h1", "h2", "h3", "hr", "ol"}]
    assert heads == ["h1", "h2", "h3"]


def test_what_is_absent_is_said() -> None:
    """An empty answer, an empty fact and an empty cell are told, not left out."""
    assert answer("") == answer(()) == answer(None) == Text("not recorded")
    assert answer("a") == answer(["a"]) == Text("a")
    assert answer(["a", "b"]) == Bullets(("a", "b"))
    made = Document("x", [Facts({"licence": "", "owner": None, "rows": 0, "names": ["a", "b"]})])
    text = markdown(made)
    assert "- **licence:** not recorded" in text
    assert "- **owner:** not recorded" in text
    assert "- **rows:** 0" in text
    assert "- **names:** a, b" in text


def test_a_picture_is_for_the_page_alone() -> None:
    """Markdown leaves it out: what it shows also stands in a table."""
    made = Document("x", [Picture(figure()[0], "caption")])
    assert markdown(made) == "# x\n"
    assert "<svg" in page(made).render()


def test_digests_are_whole_in_markdown() -> None:
    """A reader of the page can copy the whole from the shortened one."""
    digest = f"sha256:{'ab' * 32}"
    made = Document("x", [Facts({"digest": digest}), Table(("digest",), [(digest,)])])
    assert f"`{digest}`" in markdown(made)
    assert f'title="{digest}"' in page(made).render()

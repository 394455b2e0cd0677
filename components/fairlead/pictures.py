"""Pictures inside pages: PNG and JPEG files as data, so that the page stays one file."""

import base64
import html
from collections.abc import Iterable

_KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg"}


def grid(pictures: Iterable[tuple[bytes, str]], columns: int = 0) -> str:
    """Lays pictures out in rows.

    Args:
        pictures: PNG or JPEG files, each with a text that stands below it and is read out in its stead; line
            breaks are kept.
        columns: Pictures of a row; 0: as many as fit.

    Returns:
        Markup. Small pictures are enlarged without smoothing, so that one sees the pixels that a model sees.

    Raises:
        ValueError: A file is neither PNG nor JPEG.
    """
    style = f' style="grid-template-columns:repeat({columns},minmax(0,6.5rem))"' if columns else ""
    return f'<div class="pictures"{style}>{"".join(_figure(content, text) for content, text in pictures)}</div>'


def _figure(content: bytes, text: str) -> str:
    kind = next((kind for sign, kind in _KINDS.items() if content.startswith(sign)), None)
    if kind is None:
        raise ValueError(f"a page shows PNG and JPEG files; got {len(content)} bytes that begin with {content[:8]!r}")
    words, data = html.escape(text), base64.b64encode(content).decode("ascii")
    below = f"<figcaption>{words}</figcaption>" if words else ""
    return f'<figure><img src="data:image/{kind};base64,{data}" alt="{words}">{below}</figure>'

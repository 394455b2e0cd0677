"""The page about a quantization."""

from pathlib import Path

from fairlead.optimization.quantize_model.comparison import Comparison
from fairlead.pages import Page
from fairlead.values import title

_MICROSECONDS = 1e6


def write_report(path: Path | str, comparison: Comparison | None, kept: str, reason: str) -> None:
    """Writes the page: which form was kept, why, and both side by side.

    Args:
        path: The HTML file.
        comparison: What was measured; None where there was nothing to quantize.
        kept: `int8` or `fp32`.
        reason: Why.
    """
    page = Page("Quantization")
    page.note(f"{kept} was kept. {reason}", "good" if kept == "int8" else "info")
    if comparison is not None:
        rows: list[list[str | int | float]] = [
            [f"prediction, batch {batch} (µs)", seconds * _MICROSECONDS, comparison.int8_seconds[batch] * _MICROSECONDS]
            for batch, seconds in comparison.float_seconds.items()
        ]
        page.table(
            ["", "fp32", "int8"],
            [*rows, *_quality(comparison), ["model.onnx (bytes)", comparison.float_bytes, comparison.int8_bytes]],
            "Times are medians on one thread; the two forms took turns.",
        )
        page.text(f"On the sample their answers differ by {comparison.largest_difference:.2g} at most.")
    page.write(path)


def _quality(comparison: Comparison) -> list[list[str | int | float]]:
    ours, theirs = comparison.float_quality, comparison.int8_quality
    rows: list[list[str | int | float]] = [[title(ours.metric), ours.value, theirs.value]]
    if ours.accuracy is not None and theirs.accuracy is not None:
        rows.append(["accuracy", ours.accuracy, theirs.accuracy])
    return rows

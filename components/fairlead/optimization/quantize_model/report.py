"""The page about a quantization."""

from pathlib import Path

from fairlead.optimization.quantize_model.comparison import Comparison
from fairlead.pages import Page

_MICROSECONDS = 1e6


def write_report(path: Path | str, comparison: Comparison, kept: str, reason: str) -> None:
    """Writes the page: which form was kept, why, and both side by side.

    Args:
        path: The HTML file.
        comparison: What was measured.
        kept: `int8` or `fp32`.
        reason: Why.
    """
    page = Page("Quantization")
    page.note(f"{kept} was kept. {reason}", "good" if kept == "int8" else "info")
    rows: list[list[str | int | float]] = [
        [f"prediction, batch {batch} (µs)", seconds * _MICROSECONDS, comparison.int8_seconds[batch] * _MICROSECONDS]
        for batch, seconds in comparison.float_seconds.items()
    ]
    rows.append(["log loss (nats)", comparison.float_log_loss, comparison.int8_log_loss])
    rows.append(["model.onnx (bytes)", comparison.float_bytes, comparison.int8_bytes])
    page.table(["", "fp32", "int8"], rows, "Times are medians on one thread; the two forms took turns.")
    page.text(f"On the sample their probabilities differ by {comparison.largest_difference:.2g} at most.")
    page.write(path)

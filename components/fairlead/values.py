"""Values as people read them: numbers, shares, intervals, times, digests, and the names of figures."""

import math
import re
from datetime import UTC, date, datetime
from typing import Any

DIGEST = re.compile(r"\bsha256:([0-9a-f]{12})[0-9a-f]{52}\b")

_TITLES = {
    "roc_auc": "ROC AUC",
    "log_loss_ratio_to_majority": "log loss / majority's",
    "brier": "Brier score",
    "expected_calibration_error": "calibration error",
    "f1": "F1",
    "base_rate": "share of yes",
    "calibration_error_debiased": "calibration error, debiased",
    "matthews_correlation": "Matthews correlation",
    "cohens_kappa": "Cohen's kappa",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "r2": "R²",
    "root_mean_squared_error": "RMSE",
    "mean_absolute_error": "MAE",
    "absolute_error_90": "90 % of errors are below",
    "ndcg": "NDCG",
    "ndcg_loss": "1 - NDCG",
    "mrr": "mean reciprocal rank",
    "map": "mean average precision",
    "chrf": "chrF",
    "chrf_loss": "1 - chrF",
    "bleu": "BLEU",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "validation_roc_auc": "validation ROC AUC",
}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?")
_THOUSANDS_FROM = 10_000  # below it a number may be a year


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


def limit(value: float) -> str:
    """Return a number that someone set, which has no zeros that only tell how exact it is: 0.002, not 0.002000."""
    digits, tens, exponent = number(value).partition("e")
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + tens + exponent


def percent(share: float | None) -> str:
    """Return a share of 1 as a percentage of 3 significant digits; None and NaN are a dash."""
    if share is None or math.isnan(share):
        return "—"
    if 0 < share < 1e-4:  # noqa: PLR2004 - a hundredth of a per cent
        return "<0.01 %"
    return f"{100 * share:.3g} %"


def interval(estimate: float, low: float, high: float) -> str:
    """Return an estimate with its interval: "0.7582 (0.7499 to 0.7671)"."""
    return f"{number(estimate)} ({number(low)} to {number(high)})"


def moment(value: str | datetime) -> str:
    """Return a time as people write it: "2013-01-01 10:00 UTC"; text that is no ISO 8601 time stays as it is.

    Args:
        value: A time; one without a zone is told without one. Seconds are told unless they are zero.
    """
    if isinstance(value, datetime):
        zoned = value.tzinfo is not None
        time = (value.astimezone(UTC) if zoned else value).replace(tzinfo=None)
        return time.isoformat(" ", "seconds" if time.second else "minutes") + (" UTC" if zoned else "")
    try:
        return moment(datetime.fromisoformat(value)) if _TIME.fullmatch(value) else value
    except (ValueError, OverflowError):  # such as a 30th of February, or one that UTC moves before the year 1
        return value


def shown(value: Any) -> str:
    """Return any value as plain text.

    Args:
        value: Numbers are shortened by `number`, times told by `moment`, None is a dash, booleans are yes and no, the
            rest is `str`.
    """
    value = plain(value)
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, str | datetime):
        return moment(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def plain(value: Any) -> Any:
    """Return Python's own value of a NumPy scalar; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def short_digests(text: str) -> str:
    """Return text with each SHA-256 digest cut to its first 12 hexadecimal digits."""
    return DIGEST.sub(r"\1", text)


def title(figure: str) -> str:
    """Return a figure's name as people say it: `roc_auc` is "ROC AUC", `log_loss` is "log loss"."""
    name, _, rank = figure.rpartition("_at_")
    if name and rank.isdecimal():
        return f"{title(name)} at {rank}"
    return _TITLES.get(figure, figure.replace("_", " "))

"""Every figure of generated text with its interval."""

from collections.abc import Sequence

import numpy as np

from fairlead.evaluation import text_metrics
from fairlead.evaluation.resampling import Interval, Resampling, ratio


def text_figures(references: Sequence[str], texts: Sequence[str], drawn: Resampling) -> dict[str, Interval]:
    """Every figure of `fairlead.evaluation.spec.FIGURES["text-generation"]`.

    Args:
        references: What belongs there, N of them.
        texts: What was generated.
        drawn: How rows are resampled.

    Returns:
        Interval by name, all between 0 and 1 but the error rates, which may exceed 1. BLEU and chrF are those of the
        whole corpus (sums of counts, not means of sentences); ROUGE is the mean over texts, and the error rates are
        edits by the length of all references.
    """
    pairs = list(zip(references, texts, strict=True))
    counts = np.array([text_metrics.chrf_counts(a, b) for a, b in pairs])  # (N, 3, 6)
    tokens = np.array([text_metrics.bleu_counts(a, b) for a, b in pairs])  # (N, 10)
    rouges = [text_metrics.rouge(a, b) for a, b in pairs]
    exact = np.array([float(a.strip() == b.strip()) for a, b in pairs])
    chrf_sums = np.array([[drawn.sums(counts[:, i, n]) for n in range(counts.shape[2])] for i in range(3)])
    bleu_sums = np.array([drawn.sums(column) for column in tokens.T])
    means = {name: np.array([of[name] for of in rouges]) for name in ("rouge_1", "rouge_2", "rouge_l")}
    return {
        "chrf": drawn.interval(text_metrics.chrf, chrf_sums, within=(0, 1)),
        "bleu": drawn.interval(text_metrics.bleu, bleu_sums, within=(0, 1)),
        **{name: drawn.mean(values, within=(0, 1)) for name, values in means.items()},
        "exact_match": drawn.mean(exact, within=(0, 1)),
        "character_error_rate": _error_rate(pairs, drawn),
        "word_error_rate": _error_rate([(a.split(), b.split()) for a, b in pairs], drawn),
        "length_ratio": drawn.interval(
            ratio, drawn.sums(np.array([len(b) for _, b in pairs])), drawn.sums(np.array([len(a) for a, _ in pairs]))
        ),
    }


def _error_rate(pairs: Sequence[tuple[Sequence[str], Sequence[str]]], drawn: Resampling) -> Interval:
    """Edits by the references' length, over the whole corpus."""
    edits = np.array([text_metrics.edit_distance(a, b) for a, b in pairs], dtype=np.float64)
    lengths = np.array([len(a) for a, _ in pairs], dtype=np.float64)
    return drawn.interval(ratio, drawn.sums(edits), drawn.sums(lengths), within=(0, np.inf))

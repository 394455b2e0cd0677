"""Figures of generated text, sentence by sentence.

BLEU is sacrebleu's: its tokens are what makes one paper's BLEU comparable with another's. chrF is computed here from
counts that resample, to sacrebleu's last digit (tests compare them). ROUGE's usual package (rouge-score) drags in NLTK
and drops every letter outside ASCII; Levenshtein's distance is in no library that is here.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

CHRF_ORDERS = 6
CHRF_BETA = 2
_WORD = re.compile(r"\w+")


def chrf_counts(reference: str, text: str) -> np.ndarray:
    """Character n-grams of a sentence, blanks left out (Popović 2015, "chrF: character n-gram F-score").

    Args:
        reference: What belongs there.
        text: What was generated.

    Returns:
        (3, 6) float64: n-grams of the text, of the reference, and shared ones, for n from 1 to 6.
    """
    said, truth = "".join(text.split()), "".join(reference.split())
    counts = np.zeros((3, CHRF_ORDERS))
    for n in range(1, CHRF_ORDERS + 1):
        ours = Counter(said[at : at + n] for at in range(len(said) - n + 1))
        theirs = Counter(truth[at : at + n] for at in range(len(truth) - n + 1))
        counts[:, n - 1] = (ours.total() if theirs else 0), theirs.total(), (ours & theirs).total()
    return counts


def chrf(counts: np.ndarray) -> np.ndarray:
    """The chrF score of summed counts.

    Args:
        counts: (3, 6, ...) as `chrf_counts` gives them, summed over sentences.

    Returns:
        (...) between 0 and 1; sacrebleu's is 100 times it.
    """
    said, truth, shared = counts
    present = (said > 0) & (truth > 0)
    orders = np.maximum(present.sum(axis=0), 1)
    precision = np.where(present, shared / np.maximum(said, 1), 0).sum(axis=0) / orders
    recall = np.where(present, shared / np.maximum(truth, 1), 0).sum(axis=0) / orders
    bottom = CHRF_BETA**2 * precision + recall
    return np.asarray((1 + CHRF_BETA**2) * precision * recall / np.where(bottom > 0, bottom, 1))


@lru_cache(maxsize=1)
def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(effective_order=True)


def bleu_counts(reference: str, text: str) -> np.ndarray:
    """What BLEU is made of (Papineni et al. 2002), with sacrebleu's 13a tokens.

    Returns:
        (10,) float64: matching n-grams for n from 1 to 4, the text's n-grams, the text's tokens, the reference's.
    """
    found = _bleu().sentence_score(text, [reference])
    return np.array([*found.counts, *found.totals, found.sys_len, found.ref_len], dtype=np.float64)


def bleu(counts: np.ndarray) -> np.ndarray:
    """BLEU of summed counts, by sacrebleu, with its default smoothing.

    Args:
        counts: (10, ...) as `bleu_counts` gives them, summed over sentences.

    Returns:
        (...) between 0 and 1.
    """
    from sacrebleu.metrics.bleu import BLEU

    flat = counts.reshape(counts.shape[0], -1)
    scores = [
        BLEU.compute_bleu(
            [int(n) for n in one[:4]], [int(n) for n in one[4:8]], int(one[8]), int(one[9]), smooth_method="exp"
        ).score
        for one in flat.T
    ]
    return np.asarray(np.array(scores).reshape(counts.shape[1:]) / 100)


def bleu_signature() -> str:
    """How BLEU was computed, to be told with it: sacrebleu's version, tokens and smoothing."""
    from sacrebleu.metrics.bleu import BLEU

    made = BLEU()
    made.corpus_score(["a"], [["a"]])  # the signature knows the number of references only then
    return str(made.get_signature())


def edit_distance(reference: Sequence[Any], text: Sequence[Any]) -> int:
    """Insertions, deletions and replacements that turn one sequence into the other (Levenshtein 1966).

    Args:
        reference: A string, or a list of words.
        text: Another.
    """
    codes: dict[Any, int] = {}
    left, right = (np.array([codes.setdefault(item, len(codes)) for item in of]) for of in (reference, text))
    positions = np.arange(right.size + 1)
    row = positions.copy()
    for at, code in enumerate(left, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (right != code))
        row = np.minimum.accumulate(np.append(at, best) - positions) + positions  # insertions run along the row
    return int(row[-1])


def common_length(reference: Sequence[Any], text: Sequence[Any]) -> int:
    """The length of the longest common subsequence."""
    codes: dict[Any, int] = {}
    left, right = (np.array([codes.setdefault(item, len(codes)) for item in of]) for of in (reference, text))
    row = np.zeros(right.size + 1, dtype=np.int64)
    for code in left:
        row[1:] = np.maximum.accumulate(np.maximum(row[1:], row[:-1] + (right == code)))
    return int(row[-1])


def words(text: str) -> list[str]:
    """A text's words in lower case, without punctuation."""
    return _WORD.findall(text.lower())


def rouge(reference: str, text: str) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L as F1 (Lin 2004, "ROUGE: a package for automatic evaluation of summaries").

    Returns:
        `rouge_1`, `rouge_2`, `rouge_l`, each between 0 and 1; equal texts are perfect, also where too short for an
        n-gram.
    """
    truth, said = words(reference), words(text)
    if truth == said:
        return dict.fromkeys(("rouge_1", "rouge_2", "rouge_l"), 1.0)
    found = {}
    for n in (1, 2):
        ours, theirs = (Counter(zip(*(of[at:] for at in range(n)), strict=False)) for of in (said, truth))
        found[f"rouge_{n}"] = _f1((ours & theirs).total(), ours.total(), theirs.total())
    return {**found, "rouge_l": _f1(common_length(truth, said), len(said), len(truth))}


def _f1(shared: int, said: int, truth: int) -> float:
    return 2 * shared / (said + truth) if said + truth else 0.0


def normalized_distance(reference: Sequence[Any], text: Sequence[Any]) -> float:
    """The edit distance by the length of the longer sequence: between 0 and 1, 0 where both are equal."""
    longest = max(len(reference), len(text))
    return edit_distance(reference, text) / longest if longest else 0.0


def text_losses(references: Sequence[str], texts: Sequence[str], loss: str) -> np.ndarray:
    """What each text costs.

    Args:
        references: What belongs there, N of them.
        texts: What was generated.
        loss: `chrf_loss` (1 - chrF of the sentence), `edit_distance` (normalised, over characters) or `error_rate`
            (1 where the text is not the reference).

    Returns:
        (N,) float64 between 0 and 1.
    """
    pairs = zip(references, texts, strict=True)
    if loss == "chrf_loss":
        return np.array([0.0 if a == b else 1 - float(chrf(chrf_counts(a, b))) for a, b in pairs])
    if loss == "edit_distance":
        return np.array([normalized_distance(a, b) for a, b in pairs])
    return np.array([float(a.strip() != b.strip()) for a, b in pairs])

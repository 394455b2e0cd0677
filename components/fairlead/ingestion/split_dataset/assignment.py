"""Which set each row belongs to: by time, by entity, or in equal label shares.

An assigner looks at batches in order and answers one code a row: 0 train, 1 validation, 2 test; beyond these, the
reason why a row belongs to none. Asked again from the first row on, a new assigner of the same kind answers the same.
"""

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from fairlead.ingestion.spec import Fractions, SplitSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Codes = npt.NDArray[np.int8]  # (rows,)

SETS = ("train", "validation", "test")
LEFT_OUT = ("before_start", "embargo_before_validation", "embargo_before_test", "after_test")
OUTCOMES = (*SETS, *LEFT_OUT)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HASH_RANGE = 2**64


class Assigner(Protocol):
    """Says to which set rows belong."""

    def assign(self, column: "pa.Array") -> "Codes":
        """Looks at the next rows.

        Args:
            column: The column that decides, without nulls.

        Returns:
            An index into OUTCOMES for each row.
        """
        ...


class ByTime:
    """Earlier rows train, later rows test; a gap before each later set keeps one set's outcomes out of the next."""

    def __init__(self, spec: SplitSpec) -> None:
        gap = timedelta(seconds=spec.embargo_seconds)
        train, validation = datetime.fromisoformat(spec.train_until), datetime.fromisoformat(spec.validation_until)
        steps: list[tuple[int, str]] = [(_microseconds(train - gap), "embargo_before_validation")]
        steps += [(_microseconds(train), "validation"), (_microseconds(validation - gap), "embargo_before_test")]
        steps += [(_microseconds(validation), "test")]
        first = "train"
        if spec.start:
            steps, first = [(_microseconds(datetime.fromisoformat(spec.start)), "train"), *steps], "before_start"
        if spec.test_until:
            steps.append((_microseconds(datetime.fromisoformat(spec.test_until)), "after_test"))
        self._moments = [moment for moment, _ in steps]
        self._codes = [OUTCOMES.index(name) for name in (first, *(name for _, name in steps))]

    def assign(self, column: "pa.Array") -> "Codes":
        """Looks at times; see Assigner."""
        import numpy as np
        import pyarrow as pa

        moments = column.cast(pa.int64()).to_numpy()
        places = np.searchsorted(np.array(self._moments, dtype=np.int64), moments, side="right")
        codes: Codes = np.array(self._codes, dtype=np.int8)[places]
        return codes


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


class ByEntity:
    """All rows of an entity go to one set, which its hash draws; no memory of entities is needed."""

    def __init__(self, spec: SplitSpec) -> None:
        self._seed = spec.seed
        self._limits = (spec.fractions.train, spec.fractions.train + spec.fractions.validation)

    def assign(self, column: "pa.Array") -> "Codes":
        """Looks at entities; see Assigner."""
        import numpy as np
        import pyarrow as pa

        names = column.cast(pa.string()).dictionary_encode()  # 5 and "5" are one entity, whatever the column's type
        drawn = np.array([self._draw(name) for name in names.dictionary.to_pylist()], dtype=np.float64)
        codes: Codes = np.digitize(drawn, self._limits).astype(np.int8)[names.indices.to_numpy()]
        return codes

    def _draw(self, name: str) -> float:
        digest = hashlib.blake2b(name.encode(), digest_size=8, key=str(self._seed).encode()).digest()
        return int.from_bytes(digest, "big") / _HASH_RANGE


class Stratified:
    """Each label's rows are divided exactly in the fractions, at random by the seed.

    Selection sampling (Knuth, The Art of Computer Programming 2, 3.4.2): the rows of a batch are drawn from what is
    left of each set, so that one pass in bounded memory gives a uniformly random division of exact sizes.
    """

    def __init__(self, spec: SplitSpec, counts: "Counter[Any]") -> None:
        import numpy as np

        self._left = {label: quotas(rows, spec.fractions) for label, rows in counts.items()}
        self._random = np.random.Generator(np.random.PCG64(spec.seed))

    def assign(self, column: "pa.Array") -> "Codes":
        """Looks at labels; see Assigner."""
        import numpy as np

        encoded = column.dictionary_encode()
        places, codes = encoded.indices.to_numpy(), np.empty(len(column), dtype=np.int8)
        for place, label in enumerate(encoded.dictionary.to_pylist()):
            rows = np.flatnonzero(places == place)
            drawn = self._random.multivariate_hypergeometric(self._left[label], len(rows))
            self._left[label] = [left - taken for left, taken in zip(self._left[label], drawn.tolist(), strict=True)]
            codes[rows] = self._random.permutation(np.repeat(np.arange(len(SETS), dtype=np.int8), drawn))
        return codes


def quotas(rows: int, fractions: Fractions) -> list[int]:
    """Divides a number of rows in the fractions, by largest remainder; no set stays empty from 3 rows on.

    Args:
        rows: How many rows there are.
        fractions: The sets' shares.

    Returns:
        Rows for train, validation and test; they add up to `rows`.
    """
    shares = [rows * share for share in (fractions.train, fractions.validation, fractions.test)]
    given = [int(share) for share in shares]
    by_remainder = sorted(range(len(SETS)), key=lambda i: given[i] - shares[i])
    for i in by_remainder[: rows - sum(given)]:
        given[i] += 1
    for i in range(len(SETS)):
        if given[i] == 0 and rows >= len(SETS):
            given[given.index(max(given))] -= 1
            given[i] = 1
    return given

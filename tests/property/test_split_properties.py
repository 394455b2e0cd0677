"""What must hold of every split, whatever the rows."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from fairlead.ingestion.spec import Fractions, SplitSpec
from fairlead.ingestion.split_dataset.assignment import OUTCOMES, SETS, ByEntity, ByTime, Stratified, quotas

START = datetime(2013, 1, 1, tzinfo=UTC)
SHARES = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20)).map(
    lambda parts: Fractions(train=parts[0] / sum(parts), validation=parts[1] / sum(parts), test=parts[2] / sum(parts))
)


@given(rows=st.integers(0, 10_000), fractions=SHARES)
def test_quotas_use_every_row(rows: int, fractions: Fractions) -> None:
    """They add up, stay within one row of the fractions unless a set would be empty, and leave none empty."""
    given_rows = quotas(rows, fractions)
    assert sum(given_rows) == rows
    assert min(given_rows) >= (1 if rows >= 3 else 0)
    wanted = [rows * share for share in (fractions.train, fractions.validation, fractions.test)]
    if min(wanted) >= 1:
        assert all(abs(got - want) < 1 + 1e-9 for got, want in zip(given_rows, wanted, strict=True))


@given(
    hours=st.lists(st.integers(-100, 400), min_size=1, max_size=200),
    lengths=st.tuples(*[st.integers(30, 100)] * 3),
    embargo=st.integers(0, 29),
)
def test_no_training_row_is_close_to_a_later_set(hours: list[int], lengths: tuple[int, int, int], embargo: int) -> None:
    """Every row goes where its time says; between a set and the next lies the whole gap."""
    ends = [START + timedelta(hours=sum(lengths[: n + 1])) for n in range(3)]
    spec = SplitSpec(
        by="time", column="t", embargo_seconds=embargo * 3600, start=START.isoformat(), train_until=ends[0].isoformat(),
        validation_until=ends[1].isoformat(), test_until=ends[2].isoformat(),
    )  # fmt: skip
    times = [START + timedelta(hours=hour) for hour in hours]
    codes = ByTime(spec).assign(pa.array(times, pa.timestamp("us", tz="UTC")))
    gap = timedelta(hours=embargo)
    for time, code in zip(times, codes.tolist(), strict=True):
        expected = {
            "before_start": time < START, "train": START <= time < ends[0] - gap,
            "embargo_before_validation": ends[0] - gap <= time < ends[0], "validation": ends[0] <= time < ends[1] - gap,
            "embargo_before_test": ends[1] - gap <= time < ends[1], "test": ends[1] <= time < ends[2],
            "after_test": time >= ends[2],
        }  # fmt: skip
        assert [name for name, holds in expected.items() if holds] == [OUTCOMES[code]]


@given(entities=st.lists(st.integers(0, 50), min_size=1, max_size=200), seed=st.integers(0, 1000), fractions=SHARES)
def test_an_entity_has_one_set(entities: list[int], seed: int, fractions: Fractions) -> None:
    """Whatever the order, the batches and the column's type, an entity goes to the same set."""
    spec = SplitSpec(by="entity", column="who", seed=seed, fractions=fractions)
    codes = ByEntity(spec).assign(pa.array(entities)).tolist()
    homes = dict(zip(entities, codes, strict=True))
    assert [homes[entity] for entity in entities] == codes
    again = [ByEntity(spec).assign(pa.array([str(entity)]))[0] for entity in homes]
    assert again == list(homes.values())


@given(
    labels=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=4),
    seed=st.integers(0, 1000),
    fractions=SHARES,
)
def test_strata_are_exact(labels: list[str], cuts: list[int], seed: int, fractions: Fractions) -> None:
    """Over all batches together each label is divided as its quotas say."""
    counts: Counter[Any] = Counter(labels)
    assigner = Stratified(SplitSpec(by="stratified", seed=seed, fractions=fractions), counts)
    bounds = [0, *sorted(min(cut, len(labels)) for cut in cuts), len(labels)]
    pieces = [assigner.assign(pa.array(labels[a:b], pa.string())) for a, b in pairwise(bounds)]
    placed = Counter(zip(labels, np.concatenate(pieces).tolist(), strict=True))
    for label, rows in counts.items():
        assert [placed[label, code] for code in range(len(SETS))] == quotas(rows, fractions)


def test_entities_fill_the_fractions() -> None:
    """With many entities the sets' shares come close to the fractions (five standard deviations)."""
    spec = SplitSpec(by="entity", column="who", fractions=Fractions(train=0.7, validation=0.2, test=0.1))
    codes = ByEntity(spec).assign(pa.array(range(20_000)))
    shares = np.bincount(codes, minlength=3) / 20_000
    assert np.allclose(shares, [0.7, 0.2, 0.1], atol=5 * 0.5 / np.sqrt(20_000))

"""Values in words: times, shares, intervals and digests as people read them."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead import pages, values
from fairlead.pages import Page

DIGEST = "sha256:" + "0123456789ab" + "c" * 52


@pytest.mark.parametrize(
    ("time", "told"),
    [
        ("2013-01-01T10:00:00+00:00", "2013-01-01 10:00 UTC"),
        ("2013-01-01 12:13:00+00", "2013-01-01 12:13 UTC"),
        ("2013-01-01T10:00:07Z", "2013-01-01 10:00:07 UTC"),
        ("2013-01-01T10:00:00.250000+02:00", "2013-01-01 08:00 UTC"),
        ("2013-01-01T10:00", "2013-01-01 10:00"),
        (datetime(2013, 6, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2013-06-01 00:00 UTC"),
        ("2013-06-01", "2013-06-01"),
        ("2013-02-30T00:00:00Z", "2013-02-30T00:00:00Z"),
        ("0001-01-01T00:00:00+02:00", "0001-01-01T00:00:00+02:00"),
        ("at 2013-01-01T10:00:00Z", "at 2013-01-01T10:00:00Z"),
    ],
)
def test_times_are_told_in_utc(time: str | datetime, told: str) -> None:
    """ISO times lose what nobody reads; what is no whole, real time stays as it is."""
    assert values.moment(time) == told
    assert values.shown(time) == told


@given(st.datetimes(timezones=st.just(UTC)), st.sampled_from(["seconds", "minutes"]))
def test_every_iso_time_keeps_its_minute(time: datetime, precision: str) -> None:
    """Whatever the time, what is shown begins with its date and minute."""
    told = values.moment(time.isoformat(timespec=precision))
    assert told.startswith(str(time)[:16])
    assert told.endswith(" UTC")


@pytest.mark.parametrize(
    ("share", "told"),
    [(0.0, "0 %"), (0.0471, "4.71 %"), (1.0, "100 %"), (0.00001, "<0.01 %"), (None, "—"), (float("nan"), "—")],
)
def test_shares_are_percentages(share: float | None, told: str) -> None:
    """Three digits, nothing that is there shown as 0, gaps as a dash."""
    assert values.percent(share) == told


def test_figures_have_names_and_spans() -> None:
    """Abbreviations are written as such; an interval stands behind its estimate; a date is a date."""
    assert [values.title(name) for name in ("roc_auc", "log_loss", "f1")] == ["ROC AUC", "log loss", "F1"]
    assert values.interval(0.75821, 0.7499, 0.7671) == "0.7582 (0.7499 to 0.7671)"
    assert values.shown(date(2013, 6, 1)) == "2013-06-01"


def test_digests_are_short_and_whole_at_hand() -> None:
    """Twelve digits are shown wherever a digest stands, also within a sentence; the title holds all of it."""
    markup = Page("x").text(f"made of {DIGEST}, no more").facts({"d": DIGEST}).table(["d"], [[DIGEST]]).render()
    short = f'<code title="{DIGEST}">0123456789ab</code>'
    assert markup.count(short) == 3
    assert f"made of {short}, no more" in markup
    assert values.short_digests(f"x {DIGEST}") == "x 0123456789ab"
    assert values.short_digests("sha256:da7a") == "sha256:da7a"


def test_intervals_and_times_stay_together() -> None:
    """An interval is set small behind its number; a date or a time of day never breaks."""
    assert pages.marked("0.75 (0.7 to 0.8)") == "0.75 <small>(0.7 to 0.8)</small>"
    assert pages.marked("8,713 (2.59%)") == "8,713 (2.59%)"
    when = pages.marked("2013-01-01T10:00:00Z")
    assert when == '<span class="t">2013-01-01</span> <span class="t">10:00 UTC</span>'


def test_numbers_in_words_are_set_right() -> None:
    """Shares, intervals and gaps make a column of numbers; times and empty columns do not."""
    rows = [["4.71 %", "0.5 (0.4 to 0.6)", "2013-01-01", ""], ["", "—", "2013-02-01", ""]]
    assert pages.table(["a", "b", "c", "d"], rows).count('<td class="n">') == 4


def test_long_tables_scroll_and_short_ones_do_not() -> None:
    """Only a table of very many rows has a window of its own."""
    assert 'class="table"' in pages.table(["a"], [[1]] * 40)
    assert 'class="table long"' in pages.table(["a"], [[1]] * 41)


def test_small_histograms_keep_their_gaps() -> None:
    """Spaces are empty bins, so that they are shown as such."""
    assert pages.marked(" ▁▅ █") == '<span class="bars"> ▁▅ █</span>'


def test_what_is_folded_lies_behind_its_line() -> None:
    """All that is added meanwhile is inside; what follows is not; an error leaves no half of it."""
    page = Page("x").text("before")
    with page.folded("more <b>"):
        page.text("inside")
    markup = page.text("after").render()
    assert "<p>before</p>\n<details><summary>more &lt;b&gt;</summary><p>inside</p></details>\n<p>after</p>" in markup


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.002, "0.002"), (0.62, "0.62"), (1.0, "1"), (10, "10"), (0.123456, "0.1235"), (2e-5, "2e-5"), (1200.0, "1200")],
)
def test_limits_keep_no_idle_zeros(value: float, text: str) -> None:
    """A demand reads as someone wrote it."""
    assert values.limit(value) == text

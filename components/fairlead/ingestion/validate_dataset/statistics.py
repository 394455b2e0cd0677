"""Statistics of whole tables, by DuckDB: it streams Parquet files and spills what does not fit in memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BINS = 12


@dataclass(frozen=True)
class ColumnStatistics:
    """One column in figures.

    Attributes:
        name: The column.
        type: Its Arrow type's name.
        missing: Rows without a value; not-a-number counts as none.
        distinct: Distinct values, estimated (within some per cent).
        minimum: The smallest value; None if there is none.
        maximum: The largest value.
        mean: The mean of numbers, else None.
        bins: Rows in equal steps from minimum to maximum; of texts, rows of the most frequent values.
        frequent: The most frequent texts with their rows.
    """

    name: str
    type: str
    missing: int
    distinct: int
    minimum: Any = None
    maximum: Any = None
    mean: float | None = None
    bins: tuple[int, ...] = ()
    frequent: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Duplicates:
    """Rows that share what should be unique.

    Attributes:
        extra_rows: Rows beyond the first of each group.
        examples: Of some groups, the values, the first and the last row (from 1), and the rows in all.
    """

    extra_rows: int
    examples: tuple[tuple[tuple[Any, ...], int, int, int], ...]


class Table:
    """A dataset's rows as DuckDB sees them, as view `rows`; `numbered` has `row_number` besides, from 1 on."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection", schema: "pa.Schema") -> None:
        self._connection = connection
        self._schema = schema

    def fetch(self, sql: str) -> list[dict[str, Any]]:
        """Runs a query; its rows as dictionaries."""
        rows: list[dict[str, Any]] = self._connection.execute(sql).to_arrow_table().to_pylist()
        return rows

    def duplicates(self, columns: Sequence[str], limit: int) -> Duplicates:
        """Looks for rows that agree in all of some columns; missing values agree with each other.

        Args:
            columns: The columns.
            limit: How many groups to give as examples.

        Returns:
            How many, and examples.
        """
        names = ", ".join(quoted(name) for name in columns)
        self._connection.execute(
            "create or replace temp table repeated as select "  # noqa: S608 (names are quoted)
            f"{names}, min(row_number) as first_row, max(row_number) as last_row, count(*) as copies "
            f"from numbered group by {names} having count(*) > 1"
        )
        extra = self.fetch("select coalesce(sum(copies - 1), 0)::bigint as extra from repeated")[0]["extra"]
        found = self.fetch(f"select * from repeated order by first_row limit {int(limit)}")  # noqa: S608 (an integer)
        groups = [tuple(group.values()) for group in found]
        return Duplicates(extra, tuple((group[:-3], *group[-3:]) for group in groups))

    def statistics(self) -> list[ColumnStatistics]:
        """The figures of every column; nested columns have only counts."""
        parts = [part for i, field in enumerate(self._schema) for part in _aggregates(i, field)]
        found = self.fetch(f"select {', '.join(parts)} from rows")[0]  # noqa: S608 (names are quoted)
        bins = self._bins(found)
        return [self._column(i, field, found, bins.get(i, ())) for i, field in enumerate(self._schema)]

    def _column(self, i: int, field: "pa.Field", found: dict[str, Any], bins: tuple[int, ...]) -> ColumnStatistics:
        frequent = self._frequent(field.name) if _is_text(field.type) else ()
        return ColumnStatistics(
            field.name, str(field.type), found[f"missing_{i}"], found[f"distinct_{i}"],
            _plain(found.get(f"minimum_{i}")), _plain(found.get(f"maximum_{i}")), found.get(f"mean_{i}"),
            tuple(rows for _, rows in frequent) or bins, frequent,
        )  # fmt: skip

    def _bins(self, found: dict[str, Any]) -> dict[int, tuple[int, ...]]:
        """Histograms of all ordered columns in one pass over the rows."""
        import pyarrow as pa

        spans = {i: (found.get(f"from_{i}"), found.get(f"to_{i}")) for i in range(len(self._schema))}
        wide = {i: (low, high) for i, (low, high) in spans.items() if low is not None and high > low}
        if not wide:
            return {}
        parts = []
        for i, (low, high) in wide.items():
            value = _as_number(self._schema.field(i))
            start, end = f"'{low!r}'::double", f"'{high!r}'::double"  # bare ones are decimals to DuckDB
            place = f"least({BINS - 1}, floor(({value} - {start}) / ({end} - {start}) * {BINS}))::utinyint"
            known = "isfinite({})" if pa.types.is_floating(self._schema.field(i).type) else "{} is not null"
            parts.append(f"histogram({place}) filter ({known.format(value)}) as bins_{i}")
        maps = self.fetch(f"select {', '.join(parts)} from rows")[0]  # noqa: S608 (names are quoted)
        return {i: tuple(dict(maps[f"bins_{i}"] or ()).get(place, 0) for place in range(BINS)) for i in wide}

    def _frequent(self, name: str) -> tuple[tuple[str, int], ...]:
        column = quoted(name)
        rows = self.fetch(
            f"select {column} as value, count(*) as copies from rows where {column} is not null "  # noqa: S608 (quoted)
            f"group by all order by copies desc, value limit {BINS}"
        )
        return tuple((str(row["value"]), row["copies"]) for row in rows)


@contextmanager
def opened(files: Sequence[tuple[Path, int]], schema: "pa.Schema") -> Iterator[Table]:
    """Opens Parquet files as one table.

    Args:
        files: The files in order, each with its number of rows.
        schema: Their schema.

    Yields:
        The table.
    """
    import duckdb

    with TemporaryDirectory(prefix="fairlead-duckdb-") as spill, duckdb.connect() as connection:
        connection.execute("set temp_directory = $folder", {"folder": spill})
        connection.execute("create temp table starts (filename varchar, first_row bigint)")
        before = 0
        for file, rows in files:
            connection.execute("insert into starts values (?, ?)", [str(file), before + 1])
            before += rows
        listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file, _ in files)
        read = f"from read_parquet([{listed}]"
        names = ", ".join(quoted(field.name) for field in schema)
        connection.execute(f"create temp view rows as select {names} {read})")
        connection.execute(
            f"create temp view numbered as select {names}, first_row + file_row_number as row_number "
            f"{read}, filename = true, file_row_number = true) join starts using (filename)"
        )
        yield Table(connection, schema)


def quoted(name: str) -> str:
    """A column's name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_boolean(kind))


def _present(field: "pa.Field") -> str:
    """A column with not-a-number taken as missing."""
    import pyarrow as pa

    column = quoted(field.name)
    return f"case when isnan({column}) then null else {column} end" if pa.types.is_floating(field.type) else column


def _as_number(field: "pa.Field") -> str:
    """An ordered column as a double: times in seconds."""
    import pyarrow as pa

    column = _present(field)
    return f"epoch({column})::double" if pa.types.is_temporal(field.type) else f"({column})::double"


def _aggregates(i: int, field: "pa.Field") -> Iterator[str]:
    import pyarrow as pa

    column = _present(field)
    yield f"count(*) - count({column}) as missing_{i}"
    if pa.types.is_nested(field.type):
        yield f"0 as distinct_{i}"
        return
    yield f"approx_count_distinct({column}) as distinct_{i}"
    yield f"min({column}) as minimum_{i}"
    yield f"max({column}) as maximum_{i}"
    if pa.types.is_floating(field.type):  # infinities have no place in means and histograms
        finite = f"filter (isfinite({column}))"
        yield f"min({column}) {finite} as from_{i}"
        yield f"max({column}) {finite} as to_{i}"
        yield f"avg({column}) {finite} as mean_{i}"
    elif pa.types.is_temporal(field.type):
        yield f"epoch(min({column})) as from_{i}"
        yield f"epoch(max({column})) as to_{i}"
    elif pa.types.is_integer(field.type):
        yield f"min({column}) as from_{i}"
        yield f"max({column}) as to_{i}"
        yield f"avg({column}) as mean_{i}"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime | date) else value

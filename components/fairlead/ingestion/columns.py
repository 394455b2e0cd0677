"""Column types: from the names in a problem's YAML to Arrow, and values from what a file held to what was declared."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.errors import SchemaError, nearest
from fairlead.ingestion.spec import TableSpec

if TYPE_CHECKING:
    import pyarrow as pa

OFFSET = r"\d[T ].*(Z|[+-]\d{2}(:?\d{2})?)$"  # of an ISO 8601 time that says how far it is from UTC


@dataclass(frozen=True)
class Place:
    """Where a batch stands in its source, for messages.

    Attributes:
        label: The file, as the user knows it.
        first_row: The number of the batch's first row in the file, from 1 on.
        header_lines: Lines above the first row, where rows are lines; None where they are not.
    """

    label: str
    first_row: int
    header_lines: int | None = None

    def row(self, index: int) -> str:
        """Names a row of the batch: its number, and the line if rows are lines."""
        number = self.first_row + index
        line = "" if self.header_lines is None else f" (line {number + self.header_lines})"
        return f"{self.label}: row {number}{line}"


def arrow_type(name: str) -> "pa.DataType":
    """The Arrow type of a type's name; times are UTC microseconds."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "string": pa.string(), "bool": pa.bool_(), "date": pa.date32(), "timestamp": pa.timestamp("us", tz="UTC"),
        "binary": pa.binary(),
        "float32": pa.float32(), "float64": pa.float64(),
        "int8": pa.int8(), "int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64(),
    }  # fmt: skip
    return types[name]


def type_name(kind: "pa.DataType") -> str:
    """An Arrow type's name in a problem's YAML; Arrow's own name where it has none."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return "timestamp"
    return {"float": "float32", "double": "float64", "date32[day]": "date"}.get(str(kind), str(kind))


def declared_schema(spec: TableSpec, order: list[str]) -> "pa.Schema":
    """The schema that a table's columns declare, in an order."""
    import pyarrow as pa

    return pa.schema([(name, arrow_type(spec.columns[name])) for name in order])


def settled_type(kind: "pa.DataType") -> "pa.DataType":
    """What a type found in a file becomes in a dataset: plain texts, UTC microseconds; a column of nulls is text."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return settled_type(kind.value_type)
    if pa.types.is_null(kind) or pa.types.is_time(kind) or str(kind) in ("large_string", "string_view"):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return arrow_type("timestamp")
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        return pa.float64()
    return pa.date32() if pa.types.is_date(kind) else kind


def require_columns(wanted: list[str], present: list[str], label: str) -> None:
    """Checks that a file has the wanted columns, each once.

    Raises:
        SchemaError: One is absent (the nearest name is given) or comes twice.
    """
    for name in wanted:
        if name not in present:
            raise SchemaError(
                f"{label} has no column {name!r}; {nearest(name, present)}; correct `columns` or name the column so"
            )
        if present.count(name) > 1:
            raise SchemaError(f"{label} has {present.count(name)} columns named {name!r}; give each its own name")


def conform(batch: "pa.RecordBatch", schema: "pa.Schema", spec: TableSpec, place: Place) -> "pa.RecordBatch":
    """Gives a batch the wanted columns, order and types.

    Args:
        batch: Rows as a reader gave them.
        schema: The columns wanted; each is in the batch.
        spec: How times are written.
        place: Where the batch stands.

    Returns:
        The rows, with no value changed but in type; times are cut to the microsecond.

    Raises:
        SchemaError: A value does not fit its column's type; the message names file, row, column and value.
    """
    import pyarrow as pa

    columns = [_converted(batch.column(field.name), field, spec, place) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _converted(column: "pa.Array", field: "pa.Field", spec: TableSpec, place: Place) -> "pa.Array":
    import pyarrow as pa

    if column.type == field.type:
        return column
    convert = _converter(column.type, field.type, spec)
    if convert is None:
        raise SchemaError(
            f"{place.label}: column {field.name!r} is {type_name(column.type)} there, not {type_name(field.type)};"
            f" declare it as what it is, or correct the file"
        )
    try:
        return convert(column)
    except pa.ArrowException as error:
        index = _first_failure(column, convert)
        value = column[index].as_py()
        shown = value.isoformat() if hasattr(value, "isoformat") else repr(value)
        start = f"{place.row(index)}, column {field.name!r} ({type_name(field.type)}): {shown}"
        raise SchemaError(f"{start} {advice(field.type, str(error), spec)}") from None


Convert = Callable[["pa.Array"], "pa.Array"]


def _converter(source: "pa.DataType", target: "pa.DataType", spec: TableSpec) -> Convert | None:
    """How values of one type become another; None where only a mistake would ask for it."""
    import pyarrow as pa

    text = pa.types.is_string(source) or pa.types.is_large_string(source)
    if pa.types.is_dictionary(source):
        return lambda column: _recast(column.dictionary_decode(), target, spec)
    if pa.types.is_null(source):
        return lambda column: column.cast(target)
    if pa.types.is_timestamp(target):
        return (lambda column: parse_times(column, spec)) if text else _moments(source, spec)
    if pa.types.is_date(target) and text:
        return lambda column: _parse_dates(column, spec)
    if pa.types.is_floating(target) and (_is_number(source)):
        return lambda column: column.cast(target, safe=False)  # rounding to float32 is what was asked for
    same = (text or str(source) == "string_view") and pa.types.is_string(target)
    whole = _is_number(source) and pa.types.is_integer(target)
    return (lambda column: column.cast(target)) if same or whole or settled_type(source) == target else None


def _recast(column: "pa.Array", target: "pa.DataType", spec: TableSpec) -> "pa.Array":
    import pyarrow as pa

    convert = _converter(column.type, target, spec)
    if column.type == target:
        return column
    if convert is None:
        raise pa.ArrowInvalid(f"{column.type} does not become {target}")
    return convert(column)


def _is_number(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _moments(source: "pa.DataType", spec: TableSpec) -> Convert | None:
    """From times that a file kept as times: with a zone they are cut to microseconds, without they need one."""
    import pyarrow as pa

    if not (pa.types.is_timestamp(source) or pa.types.is_date(source)):
        return None
    if getattr(source, "tz", None):
        return lambda column: column.cast(arrow_type("timestamp"), safe=False)
    return lambda column: _in_zone(column.cast(pa.timestamp("us"), safe=False), spec)


def parse_times(column: "pa.Array", spec: TableSpec) -> "pa.Array":
    """Texts to UTC times: with an offset as they are, without one in the table's time zone.

    Raises:
        pyarrow.ArrowInvalid: A text is no such time, or names no zone and none is declared.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    utc = arrow_type("timestamp")
    if spec.time_format:
        parsed = pc.strptime(column, format=spec.time_format, unit="us")
        return parsed if parsed.type.tz else _in_zone(parsed, spec)
    if not spec.time_zone:
        return column.cast(utc)
    zoned = pc.fill_null(pc.match_substring_regex(column, OFFSET), False)
    nothing = pa.scalar(None, column.type)
    local = _in_zone(pc.if_else(zoned, nothing, column).cast(pa.timestamp("us")), spec)
    return pc.coalesce(pc.if_else(zoned, column, nothing).cast(utc), local)


def _in_zone(naive: "pa.Array", spec: TableSpec) -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    if not spec.time_zone and naive.null_count < len(naive):
        raise pa.ArrowInvalid("expected a zone offset")
    return pc.assume_timezone(naive, spec.time_zone or "UTC").cast(arrow_type("timestamp"))


def _parse_dates(column: "pa.Array", spec: TableSpec) -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    if spec.time_format:
        return pc.strptime(column, format=spec.time_format, unit="s").cast(pa.date32())
    return column.cast(pa.date32())


def _first_failure(column: "pa.Array", convert: Convert) -> int:
    """The first index whose value does not convert, by bisection."""
    import pyarrow as pa

    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(column.slice(low, middle - low))
            low = middle
        except pa.ArrowException:
            high = middle
    return low


def advice(kind: "pa.DataType", reason: str, spec: TableSpec) -> str:
    """What is wrong with a value and what to do next.

    Args:
        kind: The type that the value should have had.
        reason: Arrow's own words.
        spec: How times are written.
    """
    import pyarrow as pa

    if "expected a zone offset" in reason:
        return "names no time zone; write it with an offset (…Z) or set `time_zone`, such as America/New_York or UTC"
    if "ambiguous" in reason or "doesn't exist" in reason or "in a gap" in reason:
        return f"is no single moment in {spec.time_zone}: {' '.join(reason.split())}; write it with an offset"
    if "UTF8" in reason:
        return f"is not {spec.encoding}; set `encoding`, for example latin1"
    if pa.types.is_temporal(kind):
        how = f"`{spec.time_format}`" if spec.time_format else "ISO 8601, up to microseconds"
        return f"is no {type_name(kind)} as {how}; correct it, set `time_format`, or, in csv, add it to `na_values`"
    limits = _limits(kind)
    return f"is no {type_name(kind)}{limits}; correct it, declare another type, or, in csv, add it to `na_values`"


def _limits(kind: "pa.DataType") -> str:
    import pyarrow as pa

    if not pa.types.is_integer(kind):
        return ""
    half = 2 ** (kind.bit_width - 1)
    return f" (whole numbers from {-half} to {half - 1})"

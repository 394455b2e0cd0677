"""Checks of single values, by pandera, batch after batch.

pandera's nullable integers, dates and texts are pandas' Arrow-backed types here: no value changes on its way.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fairlead.errors import ConfigurationError
from fairlead.ingestion.spec import ColumnExpectation, Scalar
from fairlead.ingestion.validate_dataset.failures import EXAMPLES, Failures
from fairlead_serving.images import read_picture
from fairlead_serving.inputs import InputInvalidError

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa_checks
    import pyarrow as pa

MISSING = "no missing values"


def value_schema(columns: dict[str, ColumnExpectation], types: "pa.Schema") -> "pa_checks.DataFrameSchema | None":
    """The pandera schema of what single values must be.

    Args:
        columns: Expectations by column; each column is in the data.
        types: The data's schema, for limits in the column's own type.

    Returns:
        The schema; None if nothing is expected of any value.

    Raises:
        ConfigurationError: A limit or an allowed value is no value of the column's type.
    """
    import pandera.pandas as pandera

    made = {
        name: pandera.Column(checks=checks, nullable=wanted.nullable, required=True)
        for name, wanted in columns.items()
        if (checks := list(_checks(name, wanted, types.field(name).type))) or not wanted.nullable
    }
    return pandera.DataFrameSchema(made) if made else None


def _checks(name: str, wanted: ColumnExpectation, kind: "pa.DataType") -> "Iterator[pa_checks.Check]":
    import pandera.pandas as pandera

    if wanted.minimum is not None:
        least = _typed(name, "minimum", wanted.minimum, kind)
        yield pandera.Check.ge(least, error=f"at least {wanted.minimum}", n_failure_cases=EXAMPLES)
    if wanted.maximum is not None:
        most = _typed(name, "maximum", wanted.maximum, kind)
        yield pandera.Check.le(most, error=f"at most {wanted.maximum}", n_failure_cases=EXAMPLES)
    if wanted.allowed is not None:
        allowed = [_typed(name, "allowed", value, kind) for value in wanted.allowed]
        listed = f"one of {', '.join(map(str, wanted.allowed))}"
        yield pandera.Check.isin(allowed, error=listed, n_failure_cases=EXAMPLES)
    if wanted.pattern is not None:
        _require_text(name, kind)
        yield pandera.Check(Matches(wanted.pattern), error=f"pattern {wanted.pattern}", n_failure_cases=EXAMPLES)
    if wanted.shape is not None:
        _require_pictures(name, kind)
        height, width, channels = wanted.shape
        words = f"a PNG or JPEG file of {height} x {width} pixels and {channels} channels"
        yield pandera.Check(HasShape(wanted.shape), error=words, n_failure_cases=EXAMPLES)


class Matches:
    """Whether a regular expression is found in each value; each distinct value is looked at once."""

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)
        self.__name__ = "matches"

    def __call__(self, values: "pd.Series[Any]") -> "pd.Series[bool]":
        """Looks at a column's present values.

        Args:
            values: Texts.

        Returns:
            One truth value each.
        """
        import numpy as np
        import pandas as pd

        codes, distinct = pd.factorize(values)
        found = np.array([self._pattern.search(value) is not None for value in distinct], dtype=bool)
        return pd.Series(found[codes] if len(codes) else found, index=values.index, dtype=bool)


class HasShape:
    """Whether each value is a whole picture of one size and number of channels; all its pixels are read."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._shape = shape
        self.__name__ = "has_shape"

    def __call__(self, values: "pd.Series[Any]") -> "pd.Series[bool]":
        """Looks at a column's present values.

        Args:
            values: PNG or JPEG files.

        Returns:
            One truth value each.
        """
        import pandas as pd

        return pd.Series([self._fits(value) for value in values], index=values.index, dtype=bool)

    def _fits(self, content: bytes) -> bool:
        try:
            return read_picture(content).shape == self._shape
        except InputInvalidError:
            return False


def _require_pictures(name: str, kind: "pa.DataType") -> None:
    import pyarrow as pa

    if not pa.types.is_binary(kind):
        raise ConfigurationError(
            f"expectations.columns.{name}.shape: column {name!r} is {kind}; shapes are for columns of PNG or JPEG files"
        )


def _require_text(name: str, kind: "pa.DataType") -> None:
    import pyarrow as pa

    if not pa.types.is_string(kind):
        raise ConfigurationError(
            f"expectations.columns.{name}.pattern: column {name!r} is {kind}; patterns are for texts"
        )


def _typed(name: str, key: str, value: Scalar, kind: "pa.DataType") -> Any:
    """A limit from the YAML as a value that compares with the column's."""
    import pandas as pd
    import pyarrow as pa

    number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        if pa.types.is_timestamp(kind):
            moment = pd.Timestamp(value)
            return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
        if pa.types.is_date(kind):
            return pd.Timestamp(value).date()
        if number == bool(pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return value if number else pa.scalar(value).cast(kind).as_py()
    except (ValueError, TypeError, pa.ArrowException):
        pass
    raise ConfigurationError(
        f"expectations.columns.{name}.{key}: {value!r} does not compare with a column of type {kind}"
    )


def check_values(
    batch: "pa.RecordBatch", first_row: int, schema: "pa_checks.DataFrameSchema", failures: Failures
) -> None:
    """Checks one batch.

    Args:
        batch: Rows with at least the schema's columns.
        first_row: The number of the first of them, from 1 on.
        schema: What must hold.
        failures: Gets what does not.
    """
    import pandas as pd
    import pandera.pandas as pandera

    frame = _without_nan(batch.select(list(schema.columns))).to_pandas(types_mapper=pd.ArrowDtype)
    frame.index = pd.RangeIndex(first_row, first_row + batch.num_rows)
    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        for error in errors.schema_errors:
            _note(error, frame, failures)


def _note(error: Any, frame: "pd.DataFrame", failures: Failures) -> None:
    column = error.schema.name
    if error.check == "not_nullable":
        broken = frame.index[frame[column].isna()]
        failures.add(column, MISSING, len(broken), [(int(row), None) for row in broken[:EXAMPLES]])
        return
    if not hasattr(error.check, "error") or error.check_output is None:
        raise error
    held = error.check_output
    broken = held.index[~held.astype(bool)]
    values = [(int(row), frame.at[row, column]) for row in broken[:EXAMPLES]]
    failures.add(column, error.check.error, len(broken), [(row, _plain(value)) for row, value in values])


def _plain(value: Any) -> Any:
    """A value as it reads best in a message."""
    if isinstance(value, bytes):
        return f"a file of {len(value)} bytes"
    return value.isoformat() if hasattr(value, "isoformat") else value


def _without_nan(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    """Not-a-number counts as missing, as everywhere else in fairlead."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [
        pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        if pa.types.is_floating(column.type) else column
        for column in batch.columns
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

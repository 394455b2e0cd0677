"""What did not hold, counted, with the first rows as examples."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 10  # kept per check, and named in the error


@dataclass
class Failure:
    """One check that did not hold.

    Attributes:
        column: The column, or the columns together; `(rows)` for the table as a whole.
        check: What should have held.
        count: How many rows broke it; 0 where no single row did.
        examples: Row numbers (from 1) and values of the first of them; a row of None means the column as a whole.
    """

    column: str
    check: str
    count: int = 0
    examples: list[tuple[int | None, Any]] = field(default_factory=list)

    def add(self, count: int, examples: Iterable[tuple[int | None, Any]]) -> None:
        """Counts more rows, and keeps their first ones while there is room."""
        self.count += count
        for example in examples:
            if len(self.examples) < EXAMPLES:
                self.examples.append(example)

    def lines(self) -> list[str]:
        """One line per example."""
        return [_line(self.column, self.check, row, value) for row, value in self.examples]


def _line(column: str, check: str, row: int | None, value: Any) -> str:
    where = "" if row is None else f"row {row}, "
    return f"{where}{column}: {value!r}, expected {check}"


class Failures:
    """All checks that did not hold, in the order of their discovery."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Failure] = {}

    def add(self, column: str, check: str, count: int, examples: Iterable[tuple[int | None, Any]]) -> None:
        """Adds what one look at the data found."""
        self._found.setdefault((column, check), Failure(column, check)).add(count, examples)

    def all(self) -> list[Failure]:
        """Every failed check."""
        return list(self._found.values())

"""What a problem's YAML says about features: the sections `features`, `request` and `label`."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator, model_validator

from fairlead.errors import ConfigurationError, nearest
from fairlead.sections import Section

FieldType = Literal["string", "int32", "int64", "float32", "float64", "bool", "timestamp"]
Part = Literal["hour", "minute", "minute_of_day", "weekday", "month", "day_of_year"]


class FeatureSpec(Section):
    """Where features are declared and how they are computed.

    Attributes:
        repository: The Feast repository: an importable package or a folder.
        service: The feature service that the model asks.
        queries: The folder of .sql files; each makes the table of its name.
        entity_rows: The query among them that gives the rows to predict.
    """

    repository: str
    service: str
    queries: str = "features"
    entity_rows: str = "entity_rows"


class PredictionTime(Section):
    """When a prediction is asked for: a timestamp field, less some seconds.

    Attributes:
        field: A timestamp field of the request.
        minus_seconds: How long before it the question is asked.
    """

    field: str
    minus_seconds: float = Field(default=0, ge=0)


class DeriveSpec(Section):
    """A model input that is computed from the request itself.

    Attributes:
        name: The input's name.
        field: A timestamp field of the request.
        part: What of it.
        time_zone: The zone in which the clock is read (an IANA name).
    """

    name: str
    field: str
    part: Part
    time_zone: str = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("no such time zone; use an IANA name such as UTC or America/New_York") from None


def _in_one_order(values: dict[str, Any]) -> dict[str, Any]:
    """Sorts a mapping whose order means nothing, and that a pipeline hands over in another order each time."""
    return dict(sorted(values.items()))


class FreshnessSpec(Section):
    """How old a looked-up feature may be. Feast does not enforce a view's ttl online; the server enforces this.

    Attributes:
        maximum_age_seconds: For every view that `views` does not name.
        fallback: missing: too old is a missing value; refuse: the request is refused; flag: it is used and flagged.
        views: The limit of single views.
        unavailable: Where the online store does not answer: refuse: so are requests; missing: all its features are.
    """

    maximum_age_seconds: float = Field(default=86_400, gt=0)
    fallback: Literal["missing", "refuse", "flag"] = "missing"
    views: Annotated[dict[str, float], AfterValidator(_in_one_order)] = {}
    unavailable: Literal["refuse", "missing"] = "refuse"

    def limit(self, view: str) -> float | None:
        """The age in seconds from which a view's values are not used; None if they are used at any age."""
        return None if self.fallback == "flag" else self.views.get(view, self.maximum_age_seconds)


class ValueCheckSpec(Section):
    """Which values of a field the server takes; a request with others is refused, and told why.

    Attributes:
        minimum: The smallest; None: any.
        maximum: The largest; None: any.
        missing: Whether a value may be null.
    """

    minimum: float | None = None
    maximum: float | None = None
    missing: Literal["allow", "refuse"] = "allow"

    @model_validator(mode="after")
    def _some_value_is_allowed(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"nothing lies from {self.minimum:g} to {self.maximum:g}; exchange minimum and maximum")
        return self


class RequestSpec(Section):
    """What a client sends and what is computed and looked up for it.

    Attributes:
        fields: Name and type of everything that a client sends, sorted by name; empty where a client sends the model's
            inputs themselves, and only `checks` are declared.
        prediction_time: When the question is asked; None: at the row's event time or, online, now.
        derive: Inputs computed from the fields.
        freshness: How old looked-up features may be.
        checks: Which values the server takes, by field.
    """

    fields: Annotated[dict[str, FieldType], AfterValidator(_in_one_order)] = {}
    prediction_time: PredictionTime | None = None
    derive: tuple[DeriveSpec, ...] = ()
    freshness: FreshnessSpec = FreshnessSpec()
    checks: Annotated[dict[str, ValueCheckSpec], AfterValidator(_in_one_order)] = {}

    @model_validator(mode="after")
    def _something_is_sent(self) -> Self:
        if not self.fields and (not self.checks or self.prediction_time or self.derive):
            raise ValueError("fields: name what a client sends, each with its type")
        unknown = sorted(self.checks.keys() - self.fields) if self.fields else []
        if unknown:
            raise ValueError(f"checks: {unknown[0]!r} is no field of the request; {nearest(unknown[0], self.fields)}")
        return self

    @model_validator(mode="after")
    def _times_are_timestamps(self) -> Self:
        used = [item.field for item in self.derive] + ([self.prediction_time.field] if self.prediction_time else [])
        for field in used:
            if self.fields.get(field) != "timestamp":
                stamps = [name for name, kind in self.fields.items() if kind == "timestamp"]
                raise ValueError(f"{field!r} is no timestamp field of the request; {nearest(field, stamps)}")
        return self

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        names = [*self.fields, *(derived.name for derived in self.derive)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: named twice among fields and derive; give each a name of its own")
        return self


class LabelSpec(Section):
    """What is to be predicted.

    Attributes:
        column: The column of the answer; missing where there is none.
        known_at: The timestamp column that says when the answer became known, if there is one.
    """

    column: str
    known_at: str | None = None


def parse_moment(value: str, where: str) -> datetime:
    """Reads a moment of the problem: an ISO 8601 date or time, in UTC where it names no zone.

    Args:
        value: `2013-06-01` or `2013-06-01T12:00:00+00:00`.
        where: The key, for the message.

    Returns:
        The moment in UTC.

    Raises:
        ConfigurationError: It is no date or time.
    """
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{where}: {value!r} is no ISO 8601 date or time; write it like 2013-06-01") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)

"""A Feast repository's declarations: found, loaded over a folder of tables, and checked against those tables."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import ConfigurationError, SchemaError, nearest
from fairlead.features.feast_library import import_feast
from fairlead.features.tables import FeatureTables
from fairlead.source_files import execute

if TYPE_CHECKING:
    import feast

TABLES_VARIABLE = "FAIRLEAD_FEATURE_TABLES"

_ARROW_TYPES = {
    "Float32": {"float"}, "Float64": {"double"}, "Int32": {"int32"}, "Int64": {"int64"}, "String": {"string"},
    "Bool": {"bool"}, "UnixTimestamp": {"timestamp[us, tz=UTC]"},
}  # fmt: skip


@dataclass(frozen=True)
class Lookup:
    """How one feature view of a service is looked up.

    Attributes:
        view: The view's name.
        table: The table that it reads.
        keys: Column of the table to column of the entity rows.
        features: The features taken from it, in the declared order.
        ttl_seconds: How long a row may be used; None: for ever.
    """

    view: str
    table: str
    keys: dict[str, str]
    features: list[str]
    ttl_seconds: float | None


@dataclass(frozen=True)
class Declarations:
    """What a Feast repository declares.

    Attributes:
        entities: Feast entities.
        views: Feast feature views.
        services: Feast feature services.
        digest: A digest of the repository's files.
    """

    entities: "list[feast.Entity]"
    views: "list[feast.FeatureView]"
    services: "list[feast.FeatureService]"
    digest: str

    @property
    def objects(self) -> list[Any]:
        """Everything, in the order in which Feast applies it."""
        return [*self.entities, *self.views, *self.services]


def load_declarations(repository: str, tables: FeatureTables) -> Declarations:
    """Loads a Feast repository over a folder of tables, and checks that each view's table holds what it declares.

    Args:
        repository: An importable package or a folder of .py files.
        tables: The tables; the repository finds their folder in FAIRLEAD_FEATURE_TABLES.

    Returns:
        The declarations.

    Raises:
        ConfigurationError: There is no such repository, it cannot be imported, or a view reads other tables.
        SchemaError: A table has not the columns or types that its view declares.
    """
    feast = import_feast()
    folder = find_repository(repository)
    files = sorted(folder.glob("*.py"))
    with _variable(TABLES_VARIABLE, str(tables.path)):
        values = [value for file in files for value in vars(_load(file)).values()]
    kinds = (feast.Entity, feast.FeatureView, feast.FeatureService)
    entities, views, services = (_distinct(values, kind) for kind in kinds)
    if not views or not services:
        raise ConfigurationError(f"the feature repository {folder} declares no feature view or no feature service")
    for view in views:
        _check_view(view, tables)
    digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files))
    return Declarations(entities, views, services, f"sha256:{digest.hexdigest()}")


def find_repository(repository: str) -> Path:
    """Finds a repository's folder.

    Raises:
        ConfigurationError: It is neither a folder with .py files nor an importable package.
    """
    folder = Path(repository)
    if not folder.is_dir():
        try:
            found = importlib.util.find_spec(repository)
        except (ImportError, ValueError):
            found = None
        places = list(found.submodule_search_locations or []) if found else []
        if not places:
            raise ConfigurationError(
                f"features.repository: {repository!r} is neither a folder nor an importable package; "
                "give the path of a Feast repository"
            )
        folder = Path(places[0])
    if not any(folder.glob("*.py")):
        raise ConfigurationError(f"features.repository: {folder} holds no .py file; declare feature views in one")
    return folder.resolve()


def find_service(declarations: Declarations, name: str) -> "feast.FeatureService":
    """Finds a feature service by name.

    Raises:
        ConfigurationError: There is none of that name; the nearest is named.
    """
    services = {service.name: service for service in declarations.services}
    if name not in services:
        raise ConfigurationError(f"features.service: there is no feature service {name!r}; {nearest(name, services)}")
    return services[name]


def lookups(declarations: Declarations, service: str) -> list[Lookup]:
    """How each view of a service is looked up, sorted by view.

    Args:
        declarations: The repository.
        service: The service's name.

    Returns:
        One lookup a view.

    Raises:
        ConfigurationError: There is no such service, or two of its features have one name.
    """
    views = {view.name: view for view in declarations.views}
    found = []
    for projection in find_service(declarations, service).feature_view_projections:
        if projection.name not in views:
            raise ConfigurationError(f"feature service {service!r}: {projection.name!r} is no plain feature view")
        view = views[projection.name]
        keys = {key: projection.join_key_map.get(key, key) for key in _join_keys(view, declarations.entities)}
        names = [field.name for field in projection.features]
        seconds = view.ttl.total_seconds() if view.ttl else None
        found.append(Lookup(projection.name_alias or projection.name, table_of(view), keys, names, seconds or None))
    names = [name for lookup in found for name in lookup.features]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"feature service {service!r}: {', '.join(twice)} come from two views; rename them")
    return sorted(found, key=lambda lookup: lookup.view)


def limit_ages(declarations: Declarations, limits: Mapping[str, float | None]) -> None:
    """Shortens views' ttl, so that a join uses nothing that the server would find too old.

    Args:
        declarations: The repository; its views are changed.
        limits: Seconds by view; None leaves a view as it is.
    """
    from datetime import timedelta

    for view in declarations.views:
        limit = limits.get(view.name)
        if limit is not None and (not view.ttl or view.ttl.total_seconds() > limit):
            view.ttl = timedelta(seconds=limit)


def _join_keys(view: "feast.FeatureView", entities: "Sequence[feast.Entity]") -> list[str]:
    by_name = {entity.name: entity.join_key for entity in entities}
    return [str(by_name.get(name, name)) for name in view.entities]


def table_of(view: "feast.FeatureView") -> str:
    """The name of the table that a view reads."""
    return _source_path(view).parent.name


def _source_path(view: "feast.FeatureView") -> Path:
    return Path(str(getattr(view.batch_source, "path", "")))


def _check_view(view: "feast.FeatureView", tables: FeatureTables) -> None:
    """Compares a view with its table, so that an error names the column and not a line inside Feast."""
    path, table = _source_path(view), table_of(view)
    if path.parent.parent != tables.path:
        raise ConfigurationError(
            f"feature view {view.name!r} reads {path}; its path must be Path(os.environ['{TABLES_VARIABLE}'])"
            " / TABLE / '*.parquet', so that it follows the pipeline's tables"
        )
    if table not in tables.manifests:
        raise ConfigurationError(
            f"feature view {view.name!r} reads the table {table!r}; {nearest(table, tables.manifests)}"
        )
    columns = tables.manifests[table].columns
    for column in (*(field.name for field in view.features), getattr(view.batch_source, "timestamp_field", "")):
        if column not in columns:
            raise SchemaError(
                f"feature view {view.name!r}: table {table} has no {column!r}; {nearest(column, columns)}"
            )
    for field in view.features:
        wanted = _ARROW_TYPES.get(str(field.dtype))
        if wanted is not None and columns[field.name] not in wanted:
            raise SchemaError(
                f"feature view {view.name!r}: {field.name} is declared {field.dtype}, but the table has "
                f"{columns[field.name]}; change the declaration or cast in {table}.sql"
            )


def _distinct(values: list[Any], kind: type) -> list[Any]:
    found: dict[int, Any] = {id(value): value for value in values if isinstance(value, kind)}
    return sorted(found.values(), key=lambda value: str(value.name))


def _load(file: Path) -> Any:
    """Imports one file afresh: its sources are bound to a folder of tables, which differs from call to call."""
    name = f"_fairlead_features_{file.stem}"
    try:
        return execute(file, name)
    except Exception as error:
        raise ConfigurationError(
            f"the feature repository's file {file} fails: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.modules.pop(name, None)


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before

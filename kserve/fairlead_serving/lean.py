"""What the server process does not load. Called once, by the command, before anything of kserve or Feast is imported.

`import kserve` runs a package file that imports the Kubernetes client and all of the API's models; `import feast`
imports torch wherever it is installed, and SQLAlchemy for a kind of registry. A server uses none of them. Without them
it starts in half the time and takes 200 MB in place of 690 (Feast included).
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from fairlead_serving.errors import StartupError

_SQL_REGISTRY = "feast.infra.registry.sql"  # of all its registries the one that Feast imports whether wanted or not


def skip_unused_imports() -> None:
    """Makes `kserve` a package whose modules are imported one by one, and lets `import torch` fail, as Feast expects.

    Only for a process that is nothing but a server: `kserve.KServeClient`, torch and Feast's registry in an SQL
    database cannot be used in it.
    """
    if "torch" not in sys.modules:
        sys.modules["torch"] = None  # type: ignore[assignment] # Python's own way to refuse an import
    spec = importlib.util.find_spec("kserve") if "kserve" not in sys.modules else None
    if spec is not None and spec.submodule_search_locations:
        sys.modules["kserve"] = importlib.util.module_from_spec(spec)
    if _SQL_REGISTRY not in sys.modules:
        absent = ModuleType(_SQL_REGISTRY)
        vars(absent).update(SqlRegistry=None, __getattr__=_refuse_sql_registry)
        sys.modules[_SQL_REGISTRY] = absent


def _refuse_sql_registry(name: str) -> Any:
    if name != "SqlRegistryConfig":  # what Feast asks for where feature_store.yaml has such a registry
        raise AttributeError(name)
    raise StartupError(
        "feature_store.yaml has a registry of the type sql; a server reads Feast's registry from a file or an object: "
        "give registry.path its path or its s3:// address, and no registry_type"
    )


@contextmanager
def without_type_instrumentation() -> Iterator[None]:
    """Lets Feast be imported without typeguard rewriting its functions.

    Feast decorates its classes so that arguments are checked at run time; the rewriting is two thirds of what importing
    Feast costs (5 of 7.5 s of CPU), in every process. What is passed to Feast here is checked by mypy.
    """
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = _as_it_is  # only while the block lasts
    try:
        yield
    finally:
        typeguard.typechecked = checked


def _as_it_is(target: Any = None, **_: Any) -> Any:
    return target if target is not None else _as_it_is

"""Feast, imported lean and kept quiet."""

import io
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import ModuleType

from fairlead_serving.lean import without_type_instrumentation


def import_feast() -> ModuleType:
    """Imports Feast without torch.

    Feast tries torch and goes on without it; where torch is installed that costs 2 s of CPU and 470 MB in every task,
    for a conversion that is not used here.

    Returns:
        The module `feast`.
    """
    os.environ.setdefault("FEAST_USAGE", "False")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    hide = "feast" not in sys.modules and "torch" not in sys.modules
    if hide:
        sys.modules["torch"] = None  # type: ignore[assignment] # what the import system takes for "not there"
    try:
        with warnings.catch_warnings(), without_type_instrumentation():
            warnings.simplefilter("ignore")
            import feast
    finally:
        if hide:
            del sys.modules["torch"]
    return feast


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables that Feast reads while it opens a store."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Feast's progress bars, messages and its libraries' deprecations out of the task's output."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield

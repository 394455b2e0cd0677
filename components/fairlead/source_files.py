"""Python files of the user's own: a pipeline, a recipe, a feature repository."""

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType


class _Loader(SourceFileLoader):
    """Compiles what the file holds now.

    Bytecode is taken for the source's as long as second of change and length are the same, so a file that a user, a
    notebook or a test wrote twice within a second would run as it was before.
    """

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - the interpreter's signature
        return self.source_to_code(self.get_data(self.path), self.path)


def execute(file: Path, name: str) -> ModuleType:
    """Runs a file as a module of its own, afresh, whether or not a module of that name was imported before.

    Args:
        file: The file.
        name: The module's name; it stands in `sys.modules`, so that what is defined in it finds its way back.

    Returns:
        The module.

    Raises:
        Exception: Whatever the file raises; no module is left by that name then.
    """
    spec = spec_from_file_location(name, file, loader=_Loader(name, str(file)))
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported", name=name, path=str(file))
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module

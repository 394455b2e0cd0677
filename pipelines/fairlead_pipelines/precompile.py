"""Compiles the bytecode of what pipeline steps import, so that the first run does not spend its time on it.

    python -m fairlead_pipelines.precompile

Each step is a process of its own and imports much; whichever comes first would compile it, one file after another. Here
the modules are imported once, by as many processes as there are cores. Compiling all that is installed would take
longer: most of it is never imported.
"""

import importlib
import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

# Heaviest first; what two of them share is compiled by whichever comes first.
MODULES = (
    "pytorch_lightning", "fairlead.features.store", "mlflow", "sklearn.ensemble", "fairlead_serving.server",
    "pandera.pandas", "kfp.local",
)  # fmt: skip


def load(module: str) -> str:
    """Imports a module; one that is not installed here is passed over.

    Args:
        module: Its name.

    Returns:
        The name if it was imported, else an empty text.
    """
    warnings.simplefilter("ignore")
    try:
        importlib.import_module(module)
        if module == "fairlead.features.store":
            from fairlead.features.feast_library import import_feast

            import_feast()
    except ImportError:
        return ""
    return module


def main() -> None:
    """Imports every module, each in a process of its own."""
    workers = min(len(MODULES), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        list(pool.map(load, MODULES))


if __name__ == "__main__":
    main()

"""What an image's build takes out of the libraries is imported by none of the libraries that remain."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from absent_modules import write_absent

IMPORTED = (
    "torch", "pytorch_lightning", "onnxscript", "onnxruntime.quantization", "optuna", "transformers",
    "sklearn.ensemble",
    "duckdb", "mlflow", "fairlearn.metrics", "matplotlib.figure", "kserve", "mlxtend", "pandas", "scipy.stats",
)  # fmt: skip


def pruned(repository: Path) -> Iterator[str]:
    """The modules that finish.py takes away, by name."""
    spec = importlib.util.spec_from_file_location("finish", repository / "images" / "finish.py")
    assert spec is not None
    assert spec.loader is not None
    finish = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(finish)
    packages = Path(sysconfig.get_path("purelib"))
    for pattern in finish.UNNEEDED:
        for found in packages.glob(pattern):
            if (found / "__init__.py").exists() or found.suffix == ".py":
                yield ".".join(found.relative_to(packages).with_suffix("").parts)


@pytest.mark.slow
def test_libraries_are_imported_without_it(repository: Path, tmp_path: Path) -> None:
    """A process that finds nothing of it imports what components use."""
    names = sorted(set(pruned(repository)))
    assert {"pandas.tests", "pyarrow.tests"} <= set(names)
    write_absent(tmp_path, names)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    command = [sys.executable, "-W", "ignore", "-c", code, *IMPORTED]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-1500:]

"""Packages that an MLflow server keeps as artifacts of runs, with copies in a folder of this machine."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.registry.mlflow_registry import DIGEST_TAG, UPLOADED, MlflowRegistry
from fairlead.registry.packages import FolderPackages
from fairlead.registry.records import KeptPackage, Registered

if TYPE_CHECKING:
    from mlflow import MlflowClient

_EXPERIMENT = "0"  # every server has it
_MODEL_TAG = "fairlead.model"


class MlflowPackages:
    """A package store on MLflow's server; see fairlead.registry.records.PackageStore.

    Args:
        registry: The registry on the same server.
    """

    def __init__(self, registry: MlflowRegistry) -> None:
        self._registry = registry
        self._here = FolderPackages(registry.home / "packages")

    def keep(self, package: Path, name: str, digest: str) -> str:
        """Keeps a package here and uploads it, unless a finished run of the server has it."""
        home = self._here.keep(package, name, digest)
        with self._registry.open() as mlflow:
            runs = _runs(mlflow, name, digest)
            return f"runs:/{runs[0] if runs else _upload(mlflow, name, digest, home)}/{UPLOADED}"

    def copy(self, known: Registered, folder: Path) -> None:
        """Fills a folder with a registered package: from here, or from the server."""
        if Path(known.uri).is_dir():
            self._here.copy(known, folder)
            return
        with self._registry.open() as mlflow, tempfile.TemporaryDirectory() as temporary:
            run = mlflow.get_model_version(known.name, known.version).run_id
            shutil.copytree(mlflow.download_artifacts(str(run), UPLOADED, temporary), folder, dirs_exist_ok=True)

    def remove(self, name: str, digest: str) -> None:
        """Removes a package here, and marks its run as deleted: `mlflow gc` on the server frees the space."""
        with self._registry.open() as mlflow:
            for run in _runs(mlflow, name, digest):
                mlflow.delete_run(run)
        self._here.remove(name, digest)

    def kept(self) -> Iterator[KeptPackage]:
        """All packages that this machine has copies of."""
        return self._here.kept()


def _runs(mlflow: "MlflowClient", name: str, digest: str) -> list[str]:
    """Runs that have the whole package: one whose process was killed while it uploaded never finished."""
    wanted = f"tags.`{DIGEST_TAG}` = '{digest}' and tags.`{_MODEL_TAG}` = '{name}' and attributes.status = 'FINISHED'"
    return [run.info.run_id for run in mlflow.search_runs([_EXPERIMENT], wanted)]


def _upload(mlflow: "MlflowClient", name: str, digest: str, home: str) -> str:
    tags = {DIGEST_TAG: digest, _MODEL_TAG: name}
    run = str(mlflow.create_run(_EXPERIMENT, run_name=f"register {name}", tags=tags).info.run_id)
    mlflow.log_artifacts(run, home, UPLOADED)
    mlflow.set_terminated(run)
    return run

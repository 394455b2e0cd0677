"""What a type checker knows of the public API; `make lint` runs mypy --strict over this file, nothing executes it."""

from pathlib import Path
from typing import Any, Literal, assert_type

import numpy as np

from fairlead import atomic, components, image, problem, progress, verdicts
from fairlead.datasets import DatasetManifest, parquet_glob, read_manifest
from fairlead.errors import ConfigurationError, DataError, FairleadError, LeakageError, nearest
from fairlead.pages import Page
from fairlead.sections import Section
from fairlead.settings import Settings, settings
from fairlead.verdicts import Verdict
from fairlead_pipelines import catalog
from fairlead_serving.derive import derive
from fairlead_serving.package import Manifest, ModelPackage, package_digest


class Recipe(Section):
    """A section of a user's own."""

    epochs: int = 3


def sections_keep_their_own_type() -> None:
    """`parse` gives the section that it is called on."""
    assert_type(Recipe.parse({"epochs": 3.0}, where="recipe"), Recipe)
    assert_type(Recipe.parse({}, where="recipe").epochs, int)


def settings_are_typed() -> None:
    """Each setting has its type; paths are paths."""
    assert_type(settings(), Settings)
    assert_type(settings().home, Path)
    assert_type(settings().serving_port, int)
    assert_type(settings().registry_uri, str)
    assert_type(settings().features_home("flights"), Path)


def datasets_are_typed(folder: Path) -> None:
    """A manifest's fields are known."""
    assert_type(read_manifest(folder), DatasetManifest)
    assert_type(read_manifest(folder).columns, dict[str, str])
    assert_type(read_manifest(folder).time_range, list[str] | None)
    assert_type(parquet_glob(folder), str)


def verdicts_are_typed(file: Path) -> None:
    """An outcome is one of three words, not any string."""
    verdict = Verdict.read(file)
    assert_type(verdict, Verdict)
    assert_type(verdict.outcome, Literal["approved", "rejected", "inconclusive"])
    assert_type(verdicts.require([verdict], ["evaluation"], verdict.model_digest), None)


def packages_are_typed(folder: Path) -> None:
    """A model package predicts named columns into named arrays."""
    package = ModelPackage.open(folder)
    assert_type(package, ModelPackage)
    assert_type(package.manifest, Manifest)
    assert_type(package.digest, str)
    assert_type(package_digest(folder), str)
    assert_type(package.predict({"hour": [7.0]}), dict[str, np.ndarray])
    assert_type(derive({"hour": [7]}, []), dict[str, np.ndarray])


def errors_form_one_tree() -> None:
    """Whoever catches FairleadError catches all, and LeakageError is a DataError."""
    caught: tuple[type[FairleadError], ...] = (ConfigurationError, LeakageError)
    data: type[DataError] = LeakageError
    assert_type(nearest("a", ["b"]), str)
    del caught, data


def work_reports_progress(folder: Path) -> None:
    """The context managers give what their users need."""
    with progress.step("training", total=3) as step, atomic.directory(folder) as unfinished:
        assert_type(step, progress.Step)
        assert_type(unfinished, Path)
    assert_type(Page("title").heading("one").text("two"), Page)


def pipelines_are_found_by_name() -> None:
    """The catalogs of pipelines and components can be listed and read."""
    assert_type(catalog.names(), list[str])
    assert_type(catalog.find("flights"), catalog.PipelineSource)
    assert_type(problem.load_problem("problem.yaml"), dict[str, Any])
    assert_type(components.__all__, list[str])
    assert_type(image.BASE, str)

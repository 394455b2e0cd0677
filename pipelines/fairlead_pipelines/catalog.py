"""Finds pipelines: those of this package by name, a user's own by the path of its file."""

import importlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead import atomic
from fairlead.errors import ConfigurationError, nearest
from fairlead.problem import Problem, arguments_for, load_problem
from fairlead.source_files import execute

HERE = Path(__file__).parent
COMPILED = HERE / "compiled"
# KFP repeats the defaults in its head comment, dicts in an order that differs from run to run; the body has them too.
_DEFAULT_COMMENT = re.compile(r"^(#    \w+: \w+) \[Default: .*\]$", re.MULTILINE)


@dataclass(frozen=True)
class PipelineSource:
    """Where a pipeline is defined.

    Attributes:
        name: What the user calls it.
        module: The Python file that defines `pipeline`.
        problem: The problem.yaml beside it, if there is one.
    """

    name: str
    module: Path
    problem: Path | None


def _own() -> dict[str, Path]:
    """The pipelines of this package: PROBLEM/pipeline.py is called PROBLEM, PROBLEM/release.py PROBLEM-release."""
    full = {f.parent.name: f for f in HERE.glob("*/pipeline.py")}
    released = {f"{f.parent.name}-release": f for f in HERE.glob("*/release.py")}
    return {name.replace("_", "-"): file for name, file in (full | released).items()}


def names() -> list[str]:
    """The names of the pipelines that come with fairlead."""
    return sorted(_own())


def find(name: str) -> PipelineSource:
    """Finds a pipeline.

    Args:
        name: One of `names()`, or the path of a Python file that defines `pipeline`, or of the folder that holds it
            as pipeline.py.

    Returns:
        Where it is defined.

    Raises:
        ConfigurationError: There is none.
    """
    path = Path(name)
    if name in _own():
        module = _own()[name]
    elif path.suffix == ".py" or path.is_dir():
        module = path / "pipeline.py" if path.is_dir() else path
        if not module.is_file():
            raise ConfigurationError(f"there is no file {module}; write one that defines `pipeline`")
    else:
        raise ConfigurationError(
            f"there is no pipeline {name!r}; give a path to a .py file, or {nearest(name, names())}"
        )
    problem = module.parent / "problem.yaml"
    return PipelineSource(name, module.resolve(), problem.resolve() if problem.is_file() else None)


def load(source: PipelineSource) -> Any:
    """Imports the file that defines a pipeline.

    Args:
        source: Where it is.

    Returns:
        The KFP pipeline that it calls `pipeline`.

    Raises:
        ConfigurationError: It defines none, or the file fails.
    """
    if source.module.is_relative_to(HERE):
        module = importlib.import_module(f"fairlead_pipelines.{source.module.parent.name}.{source.module.stem}")
    else:
        try:
            module = execute(source.module, f"fairlead_user_{source.module.stem}")
        except Exception as error:
            raise ConfigurationError(f"{source.module} fails: {type(error).__name__}: {error}") from error
    if not hasattr(getattr(module, "pipeline", None), "pipeline_spec"):
        raise ConfigurationError(
            f"{source.module} defines no pipeline; decorate a function `pipeline` by @dsl.pipeline"
        )
    return module.pipeline


def arguments(
    source: PipelineSource, pipeline: Any, overrides: tuple[str, ...], *, complete: bool = True
) -> dict[str, Any]:
    """Finds the arguments of a pipeline: from its problem, overridden by the user.

    Args:
        source: Where the pipeline is defined.
        pipeline: The pipeline.
        overrides: `section.key=value`; without a problem.yaml, `parameter=value`.
        complete: Refuse if a parameter is left without a value.

    Returns:
        An argument for every parameter that has a value; the others keep the pipeline's defaults.

    Raises:
        ConfigurationError: A key is wrong, a value is not allowed, or a parameter has no value.
    """
    parameters = pipeline.pipeline_spec.root.input_definitions.parameters
    found = _from_problem(source, parameters, overrides) if source.problem else _plain(parameters, overrides)
    if not complete:
        return found
    absent = [name for name, spec in parameters.items() if name not in found and not _has_default(spec)]
    if absent:
        raise ConfigurationError(
            f"pipeline {source.name} needs values for: {', '.join(absent)}; give them as name=value"
        )
    return found


def compile_package(source: PipelineSource, destination: Path, overrides: tuple[str, ...] = ()) -> None:
    """Compiles a pipeline into the package that Kubeflow Pipelines takes.

    The problem's values become the parameters' defaults, so that the package runs as it is and every part of the
    problem can be edited in the Kubeflow UI.

    Args:
        source: The pipeline.
        destination: The YAML to write.
        overrides: `section.key=value`, for the defaults.
    """
    from kfp.compiler import Compiler

    pipeline = load(source)
    defaults = arguments(source, pipeline, overrides, complete=False)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "package.yaml"
        Compiler().compile(pipeline, str(raw), pipeline_parameters=defaults)
        atomic.write_text(destination, _DEFAULT_COMMENT.sub(r"\1", raw.read_text()))


def _has_default(spec: Any) -> bool:
    return bool(spec.is_optional or spec.HasField("default_value"))


def _from_problem(source: PipelineSource, parameters: Mapping[str, Any], overrides: tuple[str, ...]) -> dict[str, Any]:
    direct = tuple(o for o in overrides if _key(o) in parameters and _key(o) not in Problem.model_fields)
    values = load_problem(source.problem or "", [o for o in overrides if o not in direct])
    return _typed(arguments_for(parameters, values), parameters) | _plain(parameters, direct)


def _key(override: str) -> str:
    return override.partition("=")[0]


def _plain(parameters: Mapping[str, Any], overrides: tuple[str, ...]) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = {}
    for override in overrides:
        name, _, text = override.partition("=")
        if name not in parameters:
            raise ConfigurationError(f"{override!r}: there is no such parameter; {nearest(name, parameters)}")
        found[name] = yaml.safe_load(text)
    return _typed(found, parameters)


def _typed(values: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Makes values of the types that KFP insists on: a whole number for a float parameter is an error there."""
    from kfp.pipeline_spec import pipeline_spec_pb2

    kinds = pipeline_spec_pb2.ParameterType
    typed = dict(values)
    for name, value in values.items():
        kind = parameters[name].parameter_type
        if kind == kinds.STRING:
            typed[name] = str(value)
        elif kind == kinds.NUMBER_DOUBLE:
            try:
                typed[name] = float(value)
            except (TypeError, ValueError) as error:
                raise ConfigurationError(f"{name} is a number, not {value!r}; give e.g. {name}=0.5") from error
    return typed

"""The work of register_model: verdicts first, then the registry."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fairlead import atomic
from fairlead.errors import SourceError
from fairlead.registry import store
from fairlead.registry.policy import demand_at
from fairlead.registry.records import Registered
from fairlead.settings import settings
from fairlead.verdicts import Verdict


def register_model(
    package: Path | str,
    name: str,
    policy: Mapping[str, Any],
    verdicts: Iterable[Path | str],
    registered: Path | str,
    documents: Mapping[str, Path | str] | None = None,
) -> Registered:
    """Registers a package that every judge of the policy has approved, and says where it is.

    Args:
        package: The package's folder.
        name: The model's name in the registry.
        policy: The section `policy` of a problem; see PolicySpec.
        verdicts: The files of the verdicts at hand.
        registered: The JSON file that tells name, version, digest and place to later steps.
        documents: Markdown files to keep with the version, by name: `model_card`, `datasheet`.

    Returns:
        The version; the alias `challenger` points at it, unless it is the champion.

    Raises:
        VerdictError: A demanded verdict is missing, not `approved`, for another package, or not signed as demanded; or
            the policy is not accepted here.
        PackageError: The package cannot be read.
        SourceError: A document cannot be read.
        ConfigurationError: The policy or the name is not allowed.
        StateError: The registry is locked, corrupt, of another version, or out of reach.
    """
    demand = demand_at(policy, "registration", name)
    known = [Verdict.read(path) for path in verdicts]
    texts = {title: _read(path) for title, path in (documents or {}).items()}
    found = store.register(package, name, known, demand, documents=texts, run=run_of(registered))
    atomic.write_json(registered, found.reference())
    return found


def run_of(artifact: Path | str) -> str:
    """The pipeline run that an artifact belongs to, as its path tells.

    Args:
        artifact: Its path: below this machine's runs, or as Kubeflow Pipelines lays them out.

    Returns:
        The pipeline and the run's identity: `flights/20261121-101530-1a2b`; empty if the path does not tell.
    """
    path, runs = Path(artifact).absolute(), settings().home / "runs"
    if path.is_relative_to(runs):
        return "/".join(path.relative_to(runs).parts[:2])
    parts = path.parts
    for index, part in enumerate(parts[:-3]):
        if part == "artifacts" and parts[index - 1] == "v2":
            return "/".join(parts[index + 1 : index + 3])
    return ""


def _read(path: Path | str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be kept with the model: {error}; write it again") from None

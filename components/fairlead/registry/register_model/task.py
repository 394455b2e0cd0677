"""The work of register_model: verdicts first, then the registry."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fairlead import atomic
from fairlead.registry import store
from fairlead.registry.records import Registered
from fairlead.registry.spec import PolicySpec
from fairlead.verdicts import Verdict


def register_model(
    package: Path | str,
    name: str,
    policy: Mapping[str, Any],
    verdicts: Iterable[Path | str],
    registered: Path | str,
) -> Registered:
    """Registers a package that every judge of the policy has approved, and says where it is.

    Args:
        package: The package's folder.
        name: The model's name in the registry.
        policy: The section `policy` of a problem; see PolicySpec.
        verdicts: The files of the verdicts at hand.
        registered: The JSON file that tells name, version, digest and place to later steps.

    Returns:
        The version; the alias `challenger` points at it.

    Raises:
        VerdictError: A demanded verdict is missing, not `approved`, or for another package.
        PackageError: The package cannot be read.
        ConfigurationError: The policy or the name is not allowed.
        StateError: The registry is locked, corrupt, of another version, or out of reach.
    """
    judges = PolicySpec.parse(policy, "policy").registration
    known = [Verdict.read(path) for path in verdicts]
    found = store.register(package, name, known, judges)
    atomic.write_json(registered, found.reference())
    return found

"""What fairlead raises, drawn once.

FairleadError
├── ConfigurationError    a setting or a key of a problem's YAML is wrong
├── SourceError           a file, object or dataset cannot be read whole
├── SchemaError           a column is absent, renamed or of another type
├── DataError             the content will not do: empty, one class, duplicates, failed expectations
│   └── LeakageError      a row would be trained on what was not yet known
├── BudgetError           a training used more than its budget allows
├── PackageError          a model package is incomplete, tampered with, or does not do what its maker claims
├── VerdictError          a verdict that the policy demands is missing, failed, or for another model
│   └── PolicyError         the policy itself is not one that this place accepts
├── StateError            local state is locked, corrupt, or of another version
├── PlatformError         a process, port or server of the platform does not do its part
└── RolloutError          a rollout cannot go on or may not be started

Every message says what came, what is allowed, and what to do next.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class FairleadError(Exception):
    """The base of everything that fairlead raises on purpose; its text is for the user."""


class ConfigurationError(FairleadError):
    """A setting or a key of a problem's YAML is wrong."""


class SourceError(FairleadError):
    """A file, object or dataset cannot be read whole."""


class SchemaError(FairleadError):
    """A column is absent, renamed or of another type."""


class DataError(FairleadError):
    """The data's content will not do: empty, one class, duplicates, failed expectations."""


class LeakageError(DataError):
    """A row would be trained on what was not yet known at its event time."""


class BudgetError(FairleadError):
    """A training used more time, money or energy than its budget allows."""


class PackageError(FairleadError):
    """A model package is incomplete, tampered with, or does not do what its maker claims."""


class VerdictError(FairleadError):
    """A verdict that the policy demands is missing, failed, or for another model."""


class PolicyError(VerdictError):
    """The policy itself is not one that this place accepts: changed, unsigned, expired, or for other models."""


class StateError(FairleadError):
    """Local state is locked, corrupt, or of another version."""


class PlatformError(FairleadError):
    """A process, port or server of the platform does not do its part."""


class RolloutError(FairleadError):
    """A rollout cannot go on or may not be started."""


def nearest(wrong: str, allowed: Iterable[str]) -> str:
    """Says what is allowed in place of a wrong name, the likeliest first.

    Args:
        wrong: The name that came.
        allowed: The names that may come.

    Returns:
        A sentence part such as `did you mean 'epochs'? (allowed: batch_size, epochs)`.
    """
    names = sorted(allowed)
    match = get_close_matches(wrong, names, n=1, cutoff=0.5)
    listed = f"allowed: {', '.join(names)}"
    return f"did you mean {match[0]!r}? ({listed})" if match else listed

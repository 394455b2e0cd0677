"""Names of what fairlead makes on a cluster."""

import re

from fairlead.errors import ConfigurationError

PART_OF = ("app.kubernetes.io/part-of", "fairlead")
SERVICE = "fairlead.dev/service"
VERSION = "fairlead.dev/version"
DIGEST = "fairlead.dev/digest"
REGISTRY_VERSION = "fairlead.dev/registry-version"
MODEL = "fairlead.dev/model"
JUDGES = "fairlead.dev/approved-by"
POLICY = "fairlead.dev/policy"
PACKAGE = "fairlead.dev/package"
EPOCH = "fairlead.dev/epoch"
VERSION_HEADER, DIGEST_HEADER = "x-fairlead-version", "x-fairlead-digest"

DIGITS = 12  # of a digest, in names and labels
_LONGEST = 36  # NAME-<12 digits>-predictor-… must fit in 63 characters
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


def short(digest: str) -> str:
    """The first digits of a digest, for names."""
    return digest.removeprefix("sha256:")[:DIGITS]


def check_name(name: str) -> str:
    """Gives a service's name if it can stand in the names of Kubernetes objects and in host names.

    Raises:
        ConfigurationError: It cannot.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise ConfigurationError(
            f"service name {name!r}: on Kubernetes use up to {_LONGEST} lower-case letters, digits and '-', beginning "
            f"with a letter; change serving.name"
        )
    return name


def version_name(service: str, digest: str) -> str:
    """The name of one version's InferenceService, in Standard mode."""
    return f"{service}-{short(digest)}"


def config_map_name(what: str, service: str) -> str:
    """The name of a service's ConfigMap: `rollout`, `history` or `service`."""
    return f"fairlead-{what}-{service}"


def version_labels(service: str, digest: str) -> dict[str, str]:
    """The labels of one version's pods."""
    return {SERVICE: service, VERSION: short(digest)}

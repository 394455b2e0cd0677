"""Policies as a place accepts them: any, or one pinned by its digest, or those that the right people have signed.

A policy travels with the problem, so whoever writes the problem could weaken it. A place that must not let them sets
`policy_digest` (this policy and no other), `policy_trust_file` (policies signed by these keys), or `trust_file` (these
signers of verdicts, whatever the policy says); see docs/trust.md.
"""

import hashlib
import stat
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from fairlead.canonical import canonical
from fairlead.errors import ConfigurationError, PolicyError
from fairlead.registry.spec import PolicySpec, read_trusted
from fairlead.settings import settings
from fairlead.signatures import SigningKey, is_signed_by
from fairlead.verdicts import Demand

KIND = "policy"
Stage = Literal["registration", "deployment"]


def demand_at(policy: Mapping[str, Any], stage: Stage, model: str, *, aged: bool = False) -> Demand:
    """What a policy demands of verdicts, if this place accepts it.

    Args:
        policy: The section `policy` of a problem.
        stage: What the model is about to enter.
        model: The model's name.
        aged: Whether verdicts of any age count.

    Returns:
        The demand, with the public keys that count here.

    Raises:
        PolicyError: The policy was changed, is unsigned or expired, or is for other models.
        ConfigurationError: A key of the policy or a file of keys is wrong.
    """
    spec = accept(PolicySpec.parse(policy, "policy"), model)
    return demand_of(spec, getattr(spec, stage), aged=aged)


def demand_of(
    spec: PolicySpec, judges: Iterable[str], trusted: Mapping[str, Any] | None = None, *, aged: bool = False
) -> Demand:
    """What a policy demands of some judges' verdicts.

    Args:
        spec: The policy.
        judges: The judges.
        trusted: Public keys to use in place of the policy's; by default those of the place's `trust_file`, if any.
        aged: Whether verdicts of any age count.
    """
    own = settings().trust_file
    known = trusted if trusted is not None else read_trust(own) if own else spec.trusted
    most = None if aged or spec.maximum_age_days is None else timedelta(days=spec.maximum_age_days)
    return Demand(tuple(judges), spec.keys, known, most)


def accept(spec: PolicySpec, model: str) -> PolicySpec:
    """Refuses a policy that this place does not accept for a model.

    Args:
        spec: The policy.
        model: The model's name; empty where it is not known, and then not compared.

    Returns:
        The policy.

    Raises:
        PolicyError: It is not the pinned one, not signed as demanded, expired, or for other models.
    """
    place = settings()
    found = digest_of(spec)
    if place.policy_digest not in {"", found}:
        raise PolicyError(
            f"the policy is {found}, and only {place.policy_digest} is accepted here (FAIRLEAD_POLICY_DIGEST): it was "
            "changed, or the pin is out of date; ask those who set the pin"
        )
    if place.policy_trust_file:
        _check_signature(spec, read_trust(place.policy_trust_file))
    if spec.valid_until and datetime.now(UTC) > datetime.fromisoformat(spec.valid_until):
        raise PolicyError(f"the policy ended at {spec.valid_until}; ask for a new one")
    if model and spec.models and model not in spec.models:
        raise PolicyError(f"the policy is for {', '.join(spec.models)}, not for {model}; give {model}'s own")
    return spec


def sign(spec: PolicySpec, key: SigningKey) -> PolicySpec:
    """The policy with a signature over all of it."""
    named = spec.model_copy(update={"signed_by": key.name, "signature": ""})
    return named.model_copy(update={"signature": key.sign(KIND, _content(named))})


def digest_of(spec: PolicySpec) -> str:
    """A policy's identity: of what it demands, not of how it is written, nor of who signed it."""
    content = {key: value for key, value in _content(spec).items() if key != "signed_by"}
    return f"sha256:{hashlib.sha256(canonical(content)).hexdigest()}"


def read_trust(path: Path | str) -> dict[str, tuple[str, ...]]:
    """Reads a file of public keys by name.

    Raises:
        ConfigurationError: It is missing, no YAML, can be changed by anybody, or holds what is no key.
    """
    content = _read_yaml(path, "file of trusted keys")
    if Path(path).stat().st_mode & stat.S_IWOTH:
        raise ConfigurationError(f"anybody can change the file of trusted keys {path}; run: chmod o-w {path}")
    try:
        return read_trusted(content)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def read_policy(path: Path | str) -> dict[str, Any]:
    """Reads a policy from a file of its own, or from the section of that name of a problem.

    Raises:
        ConfigurationError: The file is missing, no YAML, or a problem without a policy.
    """
    content = _read_yaml(path, "policy")
    if "policy" in content:
        section = content["policy"]
        if not isinstance(section, dict):
            raise ConfigurationError(f"{path}: `policy` holds no keys and values")
        return section
    if "name" in content:
        raise ConfigurationError(f"{path} is a problem without a section `policy`; add one, or give another file")
    return content


def _check_signature(spec: PolicySpec, trusted: Mapping[str, Iterable[str]]) -> None:
    if not spec.signature:
        raise PolicyError(
            "the policy is unsigned, and policies are accepted here only with the signature of "
            f"{' or '.join(trusted)} (FAIRLEAD_POLICY_TRUST_FILE); they sign it with: fairlead keys policy FILE"
        )
    if spec.signed_by not in trusted:
        raise PolicyError(
            f"the policy is signed by {spec.signed_by!r}; only the signature of {' or '.join(trusted)} counts here"
        )
    content = _content(spec)
    if not any(is_signed_by(key, KIND, content, spec.signature) for key in trusted[spec.signed_by]):
        raise PolicyError(
            f"the signature of {spec.signed_by!r} does not fit the policy: it was changed after it was signed, or "
            "another key of that name signed it; take the signed policy, or have this one signed"
        )


def _content(spec: PolicySpec) -> dict[str, Any]:
    """What a signature covers: what the policy sets, and the two lists always, so that new keys leave it as it is."""
    content = spec.model_dump(mode="json", exclude_defaults=True, exclude={"signature"})
    return {**content, "registration": list(spec.registration), "deployment": list(spec.deployment)}


def _read_yaml(path: Path | str, what: str) -> dict[str, Any]:
    import yaml

    class Once(yaml.SafeLoader):
        """Refuses what stands twice: a reader would believe the first, YAML takes the last."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [str(key.value) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            if len(set(keys)) != len(keys):
                raise yaml.YAMLError(f"a key stands there twice, near line {node.start_mark.line + 1}")
            return super().construct_mapping(node, deep)

    try:
        content = yaml.load(Path(path).read_text(), Once)  # noqa: S506 - a safe loader
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the {what} {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"the {what} {path} is no YAML: {error}") from None
    if not isinstance(content, dict) or not content:
        raise ConfigurationError(f"the {what} {path} holds no keys and values")
    return content

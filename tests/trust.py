"""A model with signed verdicts and the policy that lets it go on, for tests that then change something."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from models import tiny_package

from fairlead.signatures import SigningKey, make_private_key
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest


@dataclass(frozen=True)
class Handover:
    """What a producer hands over, in `folder`: `package`, `verdicts`, `policy.yaml`.

    Attributes:
        folder: Where.
        keys: The signers: `ci` for the evaluation, `platform` for the server and the policy.
        digest: The package's identity.
    """

    folder: Path
    keys: dict[str, SigningKey]
    digest: str

    @property
    def package(self) -> Path:
        """The package's folder."""
        return self.folder / "package"

    @property
    def verdicts(self) -> Path:
        """The verdicts' folder."""
        return self.folder / "verdicts"

    @property
    def policy_file(self) -> Path:
        """The policy's file."""
        return self.folder / "policy.yaml"

    @property
    def policy(self) -> dict[str, Any]:
        """What the policy demands."""
        return {
            "registration": ["evaluation"],
            "deployment": ["evaluation", "server"],
            "keys": {"evaluation": ["ci"], "*": ["platform"]},
            "trusted": {name: key.public for name, key in self.keys.items()},
        }


def hand_over(folder: Path) -> Handover:
    """Makes a model, its verdicts and its policy."""
    keys = {name: make_private_key(folder / "keys" / f"{name}.pem") for name in ("ci", "platform")}
    made = Handover(folder, keys, package_digest(tiny_package(folder / "package")))
    figures = {"evaluation": {"roc_auc": 0.758, "rows": 1000}, "server": {"p99_seconds": 0.0123}}
    for judge, key in (("evaluation", "ci"), ("server", "platform")):
        thresholds: dict[str, float | str] = {"roc_auc at least": 0.7, "protocol": "v2"}
        verdict = Verdict(judge, made.digest, "approved", dict(figures[judge]), thresholds, ["As it should be."])
        verdict.signed(keys[key]).write(made.verdicts / f"{judge}.json")
    made.policy_file.write_text(yaml.safe_dump(made.policy))
    return made

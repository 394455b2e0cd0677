"""fetch_model: the contract."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Model, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def fetch_model(
    package: Output[Model],
    name: str,
    alias: str = "champion",
    digest: str = "",
) -> NamedTuple("Outputs", [("found", bool), ("version", str), ("digest", str)]):  # type: ignore[valid-type]
    """Fetches a registered model, such as the champion; that there is none yet is no error.

    Args:
        name: The model's name in the registry.
        alias: What points at the version; or a version such as `3`, or a digest such as `sha256:…`.
        digest: The digest of the version; where it is given, the alias does not matter.

    Returns:
        found: Whether there is such a model.
        version: Its version; empty if there is none.
        digest: Its identity; empty if there is none.
        package: The package, proven to be the one that was registered; an empty folder if there is none.
    """
    from fairlead.registry.fetch_model.task import fetch_model as work

    done = work(package.path, name, alias, digest)
    facts = {"found": done.found, "version": done.version, "digest": done.digest, "name": name}
    package.metadata.update(facts)
    return done.found, done.version, done.digest

"""The images that components name, and where a cluster finds them.

Contracts name images by their version alone, so that a package means the same everywhere. Where a cluster pulls them
from is put in when a package is compiled for it: a registry, or the exact image that `make images` pushed there, by its
digest. KFP's cache knows a step by its image's reference, not by what the reference points to: a rebuilt image under an
old tag is answered with old results. A release changes the tag, a digest changes with every build.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from fairlead import __version__
from fairlead.errors import ConfigurationError

BASE = f"fairlead-base:{__version__}"
TRAINING = f"fairlead-training:{__version__}"
SERVING = f"fairlead-serving:{__version__}"
OURS = (BASE, TRAINING, SERVING)
_NAMES = {reference.partition(":")[0] for reference in OURS}


def place(reference: str, registry: str = "", pins: Mapping[str, str] | None = None) -> str:
    """Says where a cluster finds an image.

    Args:
        reference: An image as contracts name it; one that is not fairlead's stays as it is.
        registry: The prefix, such as `ghcr.io/team`; empty: images are on the nodes, or the nodes know the registry.
        pins: Exact references by those that contracts name, as `read_pins` gives them; they win over the registry.

    Returns:
        The reference for a pod.
    """
    if reference.partition(":")[0] not in _NAMES:
        return reference
    pinned = (pins or {}).get(reference)
    return pinned or (f"{registry.rstrip('/')}/{reference}" if registry else reference)


def read_pins(path: Path) -> dict[str, str]:
    """Reads what `make images` wrote: the image that each name stands for.

    Args:
        path: build/images.json: `{"images": {"fairlead-base:0.1.0": "registry/fairlead-base@sha256:…"}}`.

    Raises:
        ConfigurationError: There is no such file, or it lacks an image of this version.
    """
    try:
        pins = dict(json.loads(path.read_text(encoding="utf-8"))["images"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path} does not say which images to use ({error}); `make images` writes it"
        ) from None
    missing = [name for name in OURS if name not in pins]
    if missing:
        raise ConfigurationError(
            f"{path} has no {', '.join(missing)} but {', '.join(sorted(pins)) or 'nothing'}; "
            f"build the images of fairlead {__version__}: make images REGISTRY=…"
        )
    return pins

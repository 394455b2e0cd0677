"""Weights that were learnt elsewhere, from a folder of safetensors files; no download, no pickle."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import ConfigurationError, SourceError

if TYPE_CHECKING:
    from torch import Tensor, nn

PREFIXES = ("backbone.", "network.", "resnet.", "module.")
UNCOUNTED = "num_batches_tracked"
FIRST_LAYER = "embedder.convolution"
RED_GREEN_BLUE = 3


def load_backbone(backbone: "nn.Module", folder: Path | str) -> None:
    """Fills a backbone with stored weights.

    Args:
        backbone: With fresh weights.
        folder: Holds `*.safetensors`: what transformers' `save_pretrained` wrote for a ResNet, or a checkpoint of
            train_model. Weights of a first layer for colour are summed over colours for a grey image, which is as if
            the grey plane came three times.

    Raises:
        SourceError: There are no such files, or they cannot be read.
        ConfigurationError: The weights are those of another network; the text says which options would fit.
    """
    import torch

    stored, ours = {_bare(name): value for name, value in _read(Path(folder)).items()}, backbone.state_dict()
    fitting = {name: _for_channels(stored.get(_bare(name)), value) for name, value in ours.items()}
    wrong = [
        name
        for name, value in fitting.items()
        if not name.endswith(UNCOUNTED) and (value is None or value.shape != ours[name].shape)
    ]
    if wrong:
        raise ConfigurationError(
            f"train.options.weights: {folder} does not fit this network: {len(wrong)} of {len(ours)} tensors are "
            f"absent or of another shape, {wrong[0]!r} first; {_advice(Path(folder))}"
        )
    with torch.no_grad():
        for name, value in fitting.items():
            if value is not None:
                ours[name].copy_(value.reshape(ours[name].shape))


def _read(folder: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise SourceError(f"train.options.weights: {folder} holds no *.safetensors; give a folder of stored weights")
    try:
        return {name: value for file in files for name, value in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise SourceError(f"train.options.weights: {folder} cannot be read ({error}); copy it anew") from None


def _bare(name: str) -> str:
    """A tensor's name without the prefixes of the models around the backbone."""
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
    return name if prefix is None else _bare(name[len(prefix) :])


def _for_channels(value: "Tensor | None", ours: "Tensor") -> "Tensor | None":
    if value is not None and value.ndim == ours.ndim == 4 and (value.shape[1], ours.shape[1]) == (RED_GREEN_BLUE, 1):  # noqa: PLR2004
        return value.sum(dim=1, keepdim=True)
    return value


def _advice(folder: Path) -> str:
    """What to set so that the network is that of the folder, where its config.json says so."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        widths, depths = config["hidden_sizes"], config["depths"]
    except (OSError, ValueError, KeyError, TypeError):
        return "set network, widths and depths to those that it was trained with"
    text = f"set network: resnet, widths: {widths}, depths: {depths}"
    return text + (f", embedding: {config['embedding_size']}" if "embedding_size" in config else "")

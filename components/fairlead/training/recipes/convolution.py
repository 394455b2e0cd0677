"""Image networks in torch: bytes of pixels in, raw scores out.

Scaling and layout are inside, so that they leave with the module into the ONNX graph. Parameters of the features are
named `backbone.…`, those of the MLP behind them `head.…`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fairlead.errors import ConfigurationError

SMALL_GRID = 8  # cells of features in each direction; up to so many the MLP sees each, else their mean
SMALL_IMAGE = 64  # pixels; a ResNet's first layers shrink by 4, which would leave too little of a smaller image
BOTTLENECKS_FROM = 256  # channels of the first stage, as in ResNet-50; ResNet-18 and -34 begin with 64


@dataclass(frozen=True)
class Shape:
    """What an image network is made of.

    Attributes:
        image: Height, width, channels.
        outputs: Raw scores of an image.
        widths: Channels of each stage; each stage (of a ResNet, each but the first) halves height and width.
        depths: Blocks of each stage.
        embedding: Channels of a ResNet's first layer.
        head: Widths of the hidden layers of the MLP.
        dropout: Share of its units left out in training.
    """

    image: tuple[int, ...]
    outputs: int
    widths: Sequence[int]
    depths: Sequence[int]
    embedding: int
    head: Sequence[int]
    dropout: float


class ImageNetwork(nn.Module):
    """Standardised pixels, a backbone, an MLP on what it sees: on each cell, or on the mean over the cells."""

    mean: Tensor
    inverse_deviation: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        seen: Sequence[int],
        shape: Shape,
        mean: Sequence[float],
        deviation: Sequence[float],
    ) -> None:
        """Makes a network.

        Args:
            backbone: Float (N, channels, H, W) in, (N, width, h, w) out.
            seen: (width, h, w), where the MLP sees each cell; (width,) where it sees their mean.
            shape: See `Shape`.
            mean: Of each channel, from 0 to 255.
            deviation: Of each channel; 0 for a channel that never varies.
        """
        super().__init__()
        scales = [1 / value if value > 0 else 0.0 for value in deviation]
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("inverse_deviation", torch.tensor(scales, dtype=torch.float32).view(1, -1, 1, 1))
        self.backbone, self.outputs, self.each_cell = backbone, shape.outputs, len(seen) > 1
        layers: list[nn.Module] = []
        width = math.prod(seen)
        for units in shape.head:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(shape.dropout)]
            width = units
        self.head = nn.Sequential(*layers, nn.Linear(width, shape.outputs))

    def forward(self, pixels: Tensor) -> Tensor:
        """Computes raw scores.

        Args:
            pixels: uint8 (N, H, W, channels).

        Returns:
            float32 (N,), or (N, K).
        """
        planes = pixels.permute(0, 3, 1, 2).float()  # (N, channels, H, W)
        seen = self.backbone((planes - self.mean) * self.inverse_deviation)  # (N, width, h, w)
        raw: Tensor = self.head(seen.flatten(1) if self.each_cell else seen.mean(dim=(2, 3)))
        return raw.squeeze(1) if self.outputs == 1 else raw


def small_backbone(shape: Shape) -> nn.Module:
    """A plain stack: blocks of 3 x 3 convolution, batch norm and ReLU; after each stage the maximum of each 2 x 2."""
    layers: list[nn.Module] = []
    channels = shape.image[2]
    for width, depth in zip(shape.widths, shape.depths, strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def small_grid(shape: Shape) -> tuple[int, ...]:
    """What the MLP sees of the small network's features; see `ImageNetwork`.

    Raises:
        ConfigurationError: The stages leave nothing of the image.
    """
    height, width = (size >> len(shape.widths) for size in shape.image[:2])
    if min(height, width) < 1:
        raise ConfigurationError(
            f"train.options.widths: {len(shape.widths)} stages, each of which halves the image, leave nothing of "
            f"{shape.image[0]} x {shape.image[1]} pixels; name fewer"
        )
    channels = shape.widths[-1]
    return (channels, height, width) if max(height, width) <= SMALL_GRID else (channels,)


class ResNetBackbone(nn.Module):
    """The features of transformers' ResNet, with fresh weights.

    Its first layers halve an image twice. Where the image is smaller than 64 pixels they halve it once: the pooling is
    left out, which changes no weight's shape, so that stored weights fit all the same.
    """

    def __init__(self, shape: Shape) -> None:
        """Makes it by transformers' own configuration; nothing is downloaded."""
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        config = ResNetConfig(
            num_channels=shape.image[2], embedding_size=shape.embedding, hidden_sizes=list(shape.widths),
            depths=list(shape.depths), layer_type="bottleneck" if shape.widths[0] >= BOTTLENECKS_FROM else "basic",
        )  # fmt: skip
        self.resnet = ResNetModel(config)
        self.resnet.pooler = nn.Identity()  # type: ignore[assignment]
        if min(shape.image[:2]) < SMALL_IMAGE:
            self.resnet.embedder.pooler = nn.Identity()  # type: ignore[assignment]

    def forward(self, planes: Tensor) -> Tensor:
        """Computes features, (N, width, h, w)."""
        seen: Tensor = self.resnet.encoder(self.resnet.embedder(planes)).last_hidden_state
        return seen


def make_network(
    kind: str, shape: Shape, mean: Sequence[float] | None = None, deviation: Sequence[float] | None = None
) -> ImageNetwork:
    """Makes a network with fresh weights from torch's global random generator.

    Args:
        kind: `small` or `resnet`.
        shape: See `Shape`.
        mean: Of each channel; None where stored weights follow.
        deviation: Of each channel.
    """
    blank = [1.0] * shape.image[2]
    if kind == "small":
        return ImageNetwork(small_backbone(shape), small_grid(shape), shape, mean or blank, deviation or blank)
    return ImageNetwork(ResNetBackbone(shape), (shape.widths[-1],), shape, mean or blank, deviation or blank)

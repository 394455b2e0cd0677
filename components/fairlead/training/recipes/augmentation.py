"""Random changes of pictures that do not change what is on them."""

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample


def move_images(
    pixels: Tensor, generator: Generator, *, shift: float, rotate: float, zoom: float, flip: bool
) -> Tensor:
    """Shifts, rotates, zooms and flips each picture by chance; what comes in from outside repeats the border.

    Args:
        pixels: uint8 (N, H, W, channels).
        generator: The only source of chance.
        shift: In pixels, at most, in both directions.
        rotate: In degrees, at most, either way.
        zoom: Share of the size, at most, larger or smaller.
        flip: Whether half of the pictures are mirrored left to right.

    Returns:
        uint8 (N, H, W, channels).
    """
    count, height, width, _ = pixels.shape
    chance = torch.rand(count, 5, generator=generator) * 2 - 1  # (N, 5), from -1 to 1
    angle, scale = chance[:, 0] * math.radians(rotate), 1 + chance[:, 1] * zoom
    mirror = torch.where((chance[:, 4] > 0) & flip, -1.0, 1.0)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    maps = torch.stack(
        [
            torch.stack([cosine * mirror, -sine * height / width, chance[:, 2] * 2 * shift / width], dim=1),
            torch.stack([sine * mirror * width / height, cosine, chance[:, 3] * 2 * shift / height], dim=1),
        ],
        dim=1,
    )  # (N, 2, 3)
    planes = pixels.permute(0, 3, 1, 2).float()
    grid = affine_grid(maps, list(planes.shape), align_corners=False)
    moved = grid_sample(planes, grid, padding_mode="border", align_corners=False)
    return moved.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

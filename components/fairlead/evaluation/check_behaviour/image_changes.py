"""Changes of pictures, by SciPy's image functions."""

from typing import Any

import numpy as np

from fairlead.errors import ConfigurationError

BRIGHTEST = 255


def change_images(name: str, amount: Any, pixels: np.ndarray, fill: int, rng: np.random.Generator) -> np.ndarray:
    """Changes pictures.

    Args:
        name: One of `behaviour_spec.IMAGE_CHANGES`.
        amount: As ChangeSpec describes it.
        pixels: uint8 (N, height, width, channels).
        fill: What comes in from outside, from 0 to 255.
        rng: Of the noise.

    Returns:
        The same shape and type.
    """
    changed = _changed(name, amount, pixels.astype(np.float64), fill, rng)
    return np.asarray(np.clip(np.rint(changed), 0, BRIGHTEST).astype(np.uint8))


def _changed(name: str, amount: Any, pixels: np.ndarray, fill: int, rng: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    outside = {"mode": "constant", "cval": fill}
    match name:
        case "shift":
            right, down = amount
            found = ndimage.shift(pixels, (0, down, right, 0), order=1, **outside)
        case "rotate":
            found = ndimage.rotate(pixels, amount, axes=(1, 2), reshape=False, order=1, **outside)
        case "blur":
            found = ndimage.gaussian_filter(pixels, (0, amount, amount, 0), **outside)
        case "brightness":
            found = pixels * float(amount)
        case "noise":
            found = pixels + rng.normal(0, amount, pixels.shape)
        case "crop":
            found = _framed(pixels, int(amount), fill)
        case "invert":
            found = BRIGHTEST - pixels
        case _:
            raise ConfigurationError(f"there is no change {name!r} of pictures")
    return np.asarray(found)


def _framed(pixels: np.ndarray, edge: int, fill: int) -> np.ndarray:
    """Pictures whose outermost pixels are replaced."""
    framed = np.full_like(pixels, fill)
    inside = (slice(None), slice(edge, pixels.shape[1] - edge), slice(edge, pixels.shape[2] - edge))
    framed[inside] = pixels[inside]
    return framed

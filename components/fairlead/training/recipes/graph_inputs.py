"""The inputs of a finished model, as a package names them and as its graph takes them."""

import numpy as np

from fairlead.training.recipes.protocol import Design, Tensors
from fairlead_serving.package import ModelInput


def model_inputs(design: Design) -> tuple[ModelInput, ...]:
    """The inputs of a package: the categorical columns, the numeric ones, the image."""
    words = design.vocabularies
    return (
        *(ModelInput(name, "categorical", tuple(words[name])) for name in design.model.categorical),
        *(ModelInput(name, "numeric") for name in design.model.numeric),
        *([ModelInput(design.model.image, "image", shape=design.image_shape)] if design.model.image else []),
    )


def example_tensors(design: Design) -> Tensors:
    """One row of zeros for each input tensor that has columns."""
    model, tensors = design.model, {}
    if model.numeric:
        tensors["numeric"] = np.zeros((1, len(model.numeric)), np.float32)
    if model.categorical:
        tensors["categorical"] = np.zeros((1, len(model.categorical)), np.int64)
    if model.image:
        tensors[model.image] = np.zeros((1, *design.image_shape), np.uint8)
    return tensors

"""The recipe `image-classifier`: a convolutional network for pictures, trained in two phases: the head, then all."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self, cast

from pydantic import Field, model_validator

from fairlead.sections import Section
from fairlead.training import images, tabular
from fairlead.training.recipes.protocol import Design
from fairlead.training.recipes.torch_recipe import TorchRecipe

if TYPE_CHECKING:
    from torch import Generator, nn

    from fairlead.training.engine.learnable import Phase
    from fairlead.training.recipes.convolution import Shape
    from fairlead.training.recipes.learning import Inputs

HEAD = "head."


class ImageOptions(Section):
    """The options of `image-classifier`.

    Attributes:
        network: `small`, a plain stack of convolutions; or `resnet`, transformers' ResNet.
        widths: Channels of each stage; for `resnet` [64, 128, 256, 512] with depths [2, 2, 2, 2] is ResNet-18, and
            [256, 512, 1024, 2048] with [3, 4, 6, 3] ResNet-50.
        depths: Blocks of each stage.
        embedding: Channels of the first layer of `resnet`.
        head: Widths of the hidden layers of the MLP behind the features.
        dropout: Share of the MLP's units left out at each step.
        head_epochs: Of `train.epochs`, those in which only the MLP learns.
        head_learning_rate: Of these epochs; None takes `train.learning_rate`.
        weights: A folder of safetensors with the features' weights. Without it they start at random: there are no
            pretrained weights in fairlead, and the first phase then trains the MLP on random features.
        shift: Training pictures are shifted by so many pixels at most,
        rotate: rotated by so many degrees at most,
        zoom: made larger or smaller by this share at most,
        flip: and half of them mirrored left to right. All 0 and false: they are taken as they are.
    """

    network: Literal["small", "resnet"] = "small"
    widths: list[int] = Field(default=[16, 32, 64], min_length=1)
    depths: list[int] = Field(default=[1, 1, 1], min_length=1)
    embedding: int = Field(default=32, ge=1)
    head: list[int] = Field(default=[128])
    dropout: float = Field(default=0.2, ge=0, lt=1)
    head_epochs: int = Field(default=1, ge=0)
    head_learning_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    weights: str = ""
    shift: float = Field(default=0.0, ge=0)
    rotate: float = Field(default=0.0, ge=0, le=180)
    zoom: float = Field(default=0.0, ge=0, lt=1)
    flip: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.widths) != len(self.depths):
            raise ValueError(f"widths {self.widths} and depths {self.depths} must name the same number of stages")
        if any(number < 1 for number in (*self.widths, *self.depths, *self.head)):
            raise ValueError("widths, depths and head hold whole numbers from 1")
        return self

    @property
    def changes(self) -> bool:
        """Whether training pictures are changed at random."""
        return self.flip or max(self.shift, self.rotate, self.zoom) > 0


class ImageClassifierRecipe(TorchRecipe):
    """A small convolutional network, or a ResNet, with an MLP head; for classes, and for numbers as well."""

    options = ImageOptions
    tasks = ("multiclass", "binary", "regression")
    takes = ("images",)

    def make_module(self, design: Design, train: "tabular.Rows | images.Pictures | None" = None) -> "nn.Module":
        """Makes the network; see `TorchRecipe.make_module`."""
        from fairlead.training.recipes.convolution import make_network
        from fairlead.training.recipes.pretrained import load_backbone

        options = self._options(design)
        if not isinstance(train, images.Pictures):
            return make_network(options.network, _shape(options, design))
        described = images.describe_pixels(train.pixels).values()
        means, deviations = (
            [float(channel[key] or 0) for channel in described] for key in ("mean", "standard_deviation")
        )
        network = make_network(options.network, _shape(options, design), means, deviations)
        if options.weights:
            load_backbone(network.backbone, options.weights)
        return network

    def phases(self, design: Design) -> "Sequence[Phase]":
        """The head, then all; see `TorchRecipe.phases`."""
        from fairlead.training.engine.learnable import Phase

        options, epochs = self._options(design), design.spec.epochs
        first = min(options.head_epochs, epochs - 1)
        if first == 0:
            return ()
        name = "head on stored features" if options.weights else "head on random features"
        head = Phase(name, first, options.head_learning_rate, lambda parameter: HEAD in f".{parameter}")
        return (head, Phase("all", epochs - first))

    def augment(self, design: Design, inputs: "Inputs", generator: "Generator") -> "Inputs":
        """Moves the pictures; see `TorchRecipe.augment`."""
        from fairlead.training.recipes.augmentation import move_images

        options, (pixels,) = self._options(design), inputs
        if not options.changes:
            return inputs
        return (
            move_images(
                pixels, generator, shift=options.shift, rotate=options.rotate, zoom=options.zoom, flip=options.flip
            ),
        )

    def _options(self, design: Design) -> ImageOptions:
        return cast("ImageOptions", self.options_of(design.spec))


def _shape(options: ImageOptions, design: Design) -> "Shape":
    from fairlead.training.recipes.convolution import Shape

    return Shape(
        design.image_shape, design.outputs, options.widths, options.depths, options.embedding, options.head,
        options.dropout,
    )  # fmt: skip

"""What a problem's YAML says about changed copies of pictures: the section `augmentation`."""

from pydantic import Field

from fairlead.sections import Section


class AugmentationSpec(Section):
    """How many changed copies of each picture are made, and how far they may differ from it.

    Attributes:
        column: The column of images.
        copies: Of each picture.
        shift: The largest shift along each axis, as a share of the picture's size.
        rotate_degrees: The largest turn to either side.
        scale: The largest change of size: 0.1 is from 0.9 to 1.1.
        shear: The largest shear, as a share of the height.
        seed: Of what is random; a picture's copies depend on it, on the row's number and on nothing else.
    """

    column: str = "image"
    copies: int = Field(default=2, ge=0, le=100)
    shift: float = Field(default=0.07, ge=0, le=0.5)
    rotate_degrees: float = Field(default=10, ge=0, le=180)
    scale: float = Field(default=0.1, ge=0, lt=1)
    shear: float = Field(default=0.1, ge=0, le=1)
    seed: int = Field(default=7, ge=0)

"""Configurations of the nuclei task's models."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import Config, UserError, check_least, unknown
from tasks.segmentation import LOSSES


@dataclass(frozen=True)
class UNetConfig(Config):
    """Of every network here.

    Attributes:
        loss: What it learns by: one of `tasks.segmentation.LOSSES`.
        augment: Whether training images are mirrored and turned.
        elastic: Of their elastic deformation, how far a pixel is moved along each side, in pixels: the deviation, at
            least 0. Of 0 they are not deformed; without `augment` they are not in any case.
        filters: Of the first level, at least 1; each level below has twice as many.
        depth: Levels below the first, at least 1; each halves the picture's sides.
    """

    loss: str = "sum"
    augment: bool = True
    elastic: float = 0.0
    filters: int = 8
    depth: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "filters", "depth")
        check_least(self, 0, "elastic")
        if self.loss not in LOSSES:
            raise UserError(unknown("loss", self.loss, LOSSES))


UNET = UNetConfig(model="unet", epochs=14, batch_size=4, learning_rate=5e-3)
NO_SKIP = UNetConfig(model="unet_no_skip", epochs=14, batch_size=4, learning_rate=5e-3)

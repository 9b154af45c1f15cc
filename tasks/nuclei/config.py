"""Configurations of the nuclei task's models."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import check_least
from tasks.segmentation_config import SegmentationConfig


@dataclass(frozen=True)
class NucleiConfig(SegmentationConfig):
    """Of every network here. With `augment`, training images are mirrored and turned.

    Attributes:
        elastic: Of their elastic deformation, how far a pixel is moved along each side, in pixels: the deviation, at
            least 0. Of 0 they are not deformed; without `augment` they are not in any case.
    """

    elastic: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 0, "elastic")


UNET = NucleiConfig(model="unet", epochs=20, batch_size=4, learning_rate=5e-3)
NO_SKIP = NucleiConfig(model="unet_no_skip", epochs=20, batch_size=4, learning_rate=5e-3)

"""Configuration of the hippocampus task's model."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import check_least
from tasks.segmentation_config import SegmentationConfig


@dataclass(frozen=True)
class HippocampusConfig(SegmentationConfig):
    """Of the network. With `augment`, training volumes are turned, scaled and deformed, and vary in contrast and noise.

    Attributes:
        mirror: Whether those that are augmented are mirrored from left to right, too, every second one: the data have
            no right hippocampus.
        window: Length from back to front of the box that is learnt from, in voxels; its other sides are two thirds of
            that. Each epoch cuts another out of each volume. 0 for whole volumes, padded to the size of the largest.
    """

    mirror: bool = True
    window: int = 48

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window:
            check_least(self, 3, "window")


UNET = HippocampusConfig(model="unet", epochs=20, batch_size=2, learning_rate=3e-3, depth=3)

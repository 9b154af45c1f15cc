"""Configuration of the hippocampus task's model."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import Config, UserError, check_least, unknown
from tasks.segmentation import LOSSES


@dataclass(frozen=True)
class UNetConfig(Config):
    """Of the network.

    Attributes:
        loss: What it learns by: one of `tasks.segmentation.LOSSES`.
        augment: Whether training volumes are turned, scaled and deformed, and vary in contrast and noise.
        mirror: Whether those that are augmented are mirrored from left to right, too, every second one: the data have
            no right hippocampus.
        filters: Of the first level, at least 1; each level below has twice as many.
        depth: Levels below the first, at least 1; each halves the volume's sides.
        window: Length from back to front of the box that is learnt from, in voxels; its other sides are two thirds of
            that. Each epoch cuts another out of each volume. 0 for whole volumes, padded to the size of the largest.
    """

    loss: str = "sum"
    augment: bool = True
    mirror: bool = True
    filters: int = 8
    depth: int = 3
    window: int = 48

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "filters", "depth")
        if self.window:
            check_least(self, 3, "window")
        if self.loss not in LOSSES:
            raise UserError(unknown("loss", self.loss, LOSSES))


UNET = UNetConfig(model="unet", epochs=20, batch_size=2, learning_rate=3e-3)

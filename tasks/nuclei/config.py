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
        augment: Whether training images are mirrored, turned and deformed.
        filters: Of the first level, at least 1; each level below has twice as many.
        depth: Levels below the first, at least 1; each halves the picture's sides.
    """

    loss: str = "sum"
    augment: bool = True
    filters: int = 12
    depth: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "filters", "depth")
        if self.loss not in LOSSES:
            raise UserError(unknown("loss", self.loss, LOSSES))


UNET = UNetConfig(model="unet", epochs=25, batch_size=8, learning_rate=5e-3)
NO_SKIP = UNetConfig(model="unet_no_skip", epochs=25, batch_size=8, learning_rate=5e-3)

"""What the configurations of networks that segment have in common."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import Config, UserError, check_least, unknown

LOSSES = ("cross_entropy", "dice", "sum")  # names; the losses are in tasks/segmentation_losses.py, which needs Keras


@dataclass(frozen=True)
class SegmentationConfig(Config):
    """Of a U-Net.

    Attributes:
        loss: What it learns by, one of LOSSES.
        augment: Whether training items are seen in another way every epoch.
        filters: Of the first level, at least 1; each level below has twice as many.
        depth: Levels below the first, at least 1; each halves an item's sides.
    """

    loss: str = "sum"
    augment: bool = True
    filters: int = 8
    depth: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "filters", "depth")
        if self.loss not in LOSSES:
            raise UserError(unknown("loss", self.loss, LOSSES))

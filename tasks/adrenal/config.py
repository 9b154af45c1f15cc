"""Configurations of the adrenal task's models."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import Config, check_above_zero, check_between, check_least, check_share


@dataclass(frozen=True)
class VolumeConfig(Config):
    """Of every model here.

    Attributes:
        augment: Whether training volumes are mirrored.
        coarse: Voxels of a side that are averaged before the network, from 1 for none to 7.
        weight: How many times a hyperplastic gland counts in the loss, above 0; there are 3.6 normal ones for each.
        width: Filters of the first convolution, at least 1; later ones have more.
        dropout: Share of the last hidden layer left out in training, from 0 to below 1.
        weight_decay: Share of itself that every weight loses at a step, over the learning rate, at least 0.
    """

    augment: bool = True
    coarse: int = 1
    weight: float = 1.0
    width: int = 16
    dropout: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_between(self, 1, 7, "coarse")
        check_above_zero(self, "weight")
        check_least(self, 1, "width")
        check_share(self, "dropout")
        check_least(self, 0, "weight_decay")


LAB = VolumeConfig(model="lab", epochs=10, batch_size=16, learning_rate=1e-3, augment=False, dropout=0.3)
MIRROR = VolumeConfig(
    model="mirror", epochs=16, batch_size=32, learning_rate=3e-3, width=16, dropout=0.3, weight_decay=0.02
)

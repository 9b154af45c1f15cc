"""Configuration of the style task's model."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import Config, check_least

SIDE = 256  # of the photographs, in pixels


@dataclass(frozen=True)
class FeedForwardConfig(Config):
    """Of the network that paints in one style.

    Attributes:
        width: Filters of the first convolution, at least 1; inside there are four times as many.
        blocks: Residual blocks, at least 1.
    """

    width: int = 16
    blocks: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "width", "blocks")


FEED_FORWARD = FeedForwardConfig(model="feedforward", epochs=10, batch_size=1, learning_rate=5e-3)

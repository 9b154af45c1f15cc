"""What the training volumes look like from epoch to epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 3  # keeps these draws apart from the order of the examples


@dataclass(frozen=True)
class Mirrors:
    """Mirrors volumes along each axis half of the time: every epoch anew, and repeatably.

    They are not turned or scaled: that takes interpolation, which leaves blurred edges where the volumes that are
    served have sharp ones.

    Attributes:
        seed: Of all that is drawn.
    """

    seed: int

    def __call__(self, volumes: np.ndarray, rows: np.ndarray, epoch: int) -> np.ndarray:
        """Volumes (B, depth, height, width), which are the split's `rows` (B,), as they look in that epoch."""
        drawn = (np.random.default_rng([self.seed, DRAWS, epoch, row]).random(3) < 0.5 for row in rows)
        pairs = zip(volumes, drawn, strict=True)
        return np.stack([np.flip(volume, tuple(np.flatnonzero(axes))) for volume, axes in pairs])

"""What the training volumes look like from epoch to epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

DRAWS = 3  # keeps these draws apart from the order of the examples
DEGREES = 6.0  # of a turn about each axis, standard deviation
VOXELS = 0.5  # of a move along each axis, standard deviation


@dataclass(frozen=True)
class Augmentation:
    """Mirrors volumes along each axis half of the time, and turns and moves them a little: every epoch anew, and
    repeatably. All of it is one interpolation, of order 1. Sizes stay, since a large gland is what is looked for.

    Attributes:
        seed: Of all that is drawn.
    """

    seed: int

    def __call__(self, volumes: np.ndarray, rows: np.ndarray, epoch: int) -> np.ndarray:
        """Volumes (B, depth, height, width) uint8, which are the split's `rows` (B,), as they look in that epoch."""
        generators = [np.random.default_rng([self.seed, DRAWS, epoch, row]) for row in rows]
        return np.stack([self._varied(*pair) for pair in zip(volumes, generators, strict=True)])

    def _varied(self, volume: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        mirrored = generator.choice((-1.0, 1.0), 3)
        turned = Rotation.from_euler("xyz", generator.normal(0, DEGREES, 3), degrees=True).as_matrix()
        matrix = turned * mirrored
        middle = (np.array(volume.shape) - 1) / 2
        offset = middle - matrix @ middle + generator.normal(0, VOXELS, 3)
        return np.asarray(ndimage.affine_transform(volume, matrix, offset, order=1))

"""What pictures or volumes and the labels of their places look like from epoch to epoch: mirrored, turned, deformed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

DEFORMATION = 3  # keeps these draws apart from the order of the examples, which follows from seed and epoch, too


@dataclass(frozen=True)
class Deformation:
    """Mirrors, turns and deforms items (*sides) and their labels alike: every epoch anew, and repeatably. It is an
    Augment, see tasks/training.py.

    Attributes:
        seed: Of all that is drawn.
        mirrored: The sides along which items may be mirrored, each in half of the cases.
        turned: Two sides in whose plane items may be turned: by 90° where these are of one length, else by 180°. Empty
            where they may not.
        deviation: Of how far a place is moved along each side by the elastic deformation, in places; 0 for none.
        wavelength: How far places are apart that move independently, in places (Simard et al. 2003, section 2).
    """

    seed: int
    mirrored: Sequence[int]
    turned: Sequence[int] = ()
    deviation: float = 0.0
    wavelength: float = 64.0

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, rows: np.ndarray, epoch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Items and labels (B, *sides), which are the split's `rows` (B,), as they look in that epoch."""
        pairs = [
            self._deformed(item, label, np.random.default_rng([self.seed, epoch, DEFORMATION, row]))
            for item, label, row in zip(inputs, targets, rows, strict=True)
        ]
        items, labels = zip(*pairs, strict=True)
        return np.stack(items), np.stack(labels)

    def _deformed(
        self, item: np.ndarray, label: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        flips = tuple(side for side in self.mirrored if generator.random() < 0.5)
        item, label = np.flip(item, flips), np.flip(label, flips)
        if self.turned:
            first, second = self.turned
            step = 1 if item.shape[first] == item.shape[second] else 2
            turns = step * int(generator.integers(4 // step))
            item, label = (np.rot90(one, turns, (first, second)) for one in (item, label))
        if self.deviation:
            places = np.indices(item.shape, np.float32) + self._moves(item.shape, generator)
            # What comes from outside is the reflected inside. Labels are no numbers to be averaged.
            item = ndimage.map_coordinates(item, places, order=1, mode="reflect")
            label = ndimage.map_coordinates(label, places, order=0, mode="reflect")
        return item, label

    def _moves(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """How far each place is moved along each side, (sides, *sides): drawn on a coarse grid, smooth in between."""
        coarse = [2 + int(np.ceil(side / self.wavelength)) for side in shape]
        grid = generator.normal(scale=self.deviation, size=(len(shape), *coarse)).astype(np.float32)
        zoom = [side / length for side, length in zip(shape, coarse, strict=True)]
        return np.stack([ndimage.zoom(one, zoom, order=3, mode="nearest", grid_mode=True) for one in grid])

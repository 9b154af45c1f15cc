"""What volumes and their labels look like from epoch to epoch: another part of each, seen in another way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from tasks.contract import Split
from tasks.hippocampus.data import CLASSES

VARIATION = 4  # keeps these draws apart from the order of the examples, which follows from seed and epoch, too
UNKNOWN = -1  # the label of what is no voxel
ANGLE = 15  # degrees, by which a volume is turned about each axis, at most
SCALES = (0.85, 1.2)
DEVIATION = 0.7  # voxels, of how far the elastic deformation moves a voxel along each side
WAVES = 3  # of its frequencies along each side: none, half a wave, a whole one
GAMMA = 0.3  # of the exponent's logarithm, at most
NOISE = 0.1  # of the volume's own deviation, at most


@dataclass(frozen=True)
class Variation:
    """Cuts a window out of each volume: every epoch anew, and repeatably. It is an Augment, see tasks/training.py.

    Where `varied`, the window is turned, scaled and deformed; contrast and noise vary, too.

    Attributes:
        seed: Of all that is drawn.
        window: Its length from back to front in voxels; the other sides are two thirds of that, as the volumes' are. 0
            for windows as large as the padded volumes.
        varied: Whether what is seen in the window varies, or only its place.
        mirrored: Whether half of what varies is mirrored from left to right, too.
    """

    seed: int
    window: int
    varied: bool
    mirrored: bool = False

    def __call__(
        self, inputs: np.ndarray, targets: np.ndarray, rows: np.ndarray, epoch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Padded volumes and labels (B, *sides), which are the split's `rows` (B,), as that epoch sees them."""
        across = 2 * self.window // 3
        sides = (across, self.window, across) if self.window else inputs.shape[1:]
        pairs = [
            self._seen(*unpadded(volume, label), sides, np.random.default_rng([self.seed, epoch, VARIATION, row]))
            for volume, label, row in zip(inputs, targets, rows, strict=True)
        ]
        volumes, labels = zip(*pairs, strict=True)
        return np.stack(volumes), np.stack(labels)

    def _seen(
        self, volume: np.ndarray, label: np.ndarray, sides: tuple[int, ...], generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        # How much longer the volume is than the window, which begins anywhere in it, or before it where that is larger.
        beyond = np.subtract(volume.shape, sides)
        start = np.where(beyond > 0, np.floor(generator.uniform(size=3) * (beyond + 1)), beyond // 2)
        places = np.indices(sides, np.float32)
        if self.varied:
            places = deformed(places, generator, self.mirrored)
        places += start.astype(np.float32).reshape(3, 1, 1, 1)
        seen, labels = sampled(volume, label, places)
        return (recast(seen, generator) if self.varied else seen), labels


def padded(split: Split) -> Split:
    """The same volumes as one array (N, *sides), as large as the largest of them: NaN, and UNKNOWN among the labels,
    marks what is added at their ends."""
    sides = np.max([volume.shape for volume in split.inputs], axis=0)
    inputs = np.full((len(split), *sides), np.nan, np.float32)
    targets = np.full((len(split), *sides), UNKNOWN, np.int32)
    for row, (volume, label) in enumerate(zip(split.inputs, split.targets, strict=True)):
        first, second, third = volume.shape
        inputs[row, :first, :second, :third] = volume
        targets[row, :first, :second, :third] = label
    return Split(inputs, targets)


def unpadded(volume: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without what was added at their ends."""
    lines = volume[:, 0, 0], volume[0, :, 0], volume[0, 0, :]
    inside = tuple(slice(int(np.count_nonzero(~np.isnan(line)))) for line in lines)
    return volume[inside], label[inside]


def deformed(places: np.ndarray, generator: np.random.Generator, mirrored: bool = False) -> np.ndarray:
    """Places (3, *sides) turned and scaled about their middle and moved smoothly; where `mirrored`, also mirrored along
    the first side in half of the cases."""
    sides = places.shape[1:]
    middle = (np.reshape(sides, (3, 1, 1, 1)) - 1) / 2
    turned = Rotation.from_euler("xyz", generator.uniform(-ANGLE, ANGLE, 3), degrees=True).as_matrix()
    matrix = turned / generator.uniform(*SCALES)
    if mirrored and generator.random() < 0.5:
        matrix[:, 0] *= -1
    moved = np.tensordot(matrix, places - middle, axes=1) + middle + waves(sides, generator)
    return moved.astype(np.float32)


def waves(sides: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """How far each place is moved along each side, (3, *sides): a sum of cosines of low frequencies and random
    strengths, of mean 0 and of DEVIATION, all in all."""
    spectrum = np.zeros((3, *sides), np.float32)
    low = tuple(slice(min(WAVES, side)) for side in sides)
    spectrum[(slice(None), *low)] = generator.normal(size=spectrum[(slice(None), *low)].shape)
    spectrum[:, 0, 0, 0] = 0.0  # would move everything alike
    moves = fft.idctn(spectrum, axes=(1, 2, 3), norm="ortho")
    return moves * (DEVIATION / max(float(moves.std()), 1e-12))


def sampled(volume: np.ndarray, label: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Volume and labels at places (3, *sides), interpolated linearly; NaN and UNKNOWN where there is no voxel.

    A label is the class with the largest share of the voxels around, so outlines stay smooth where those of the nearest
    voxel would be ragged.
    """
    seen = ndimage.map_coordinates(volume, places, order=1, mode="constant", cval=np.nan)
    shares = [
        ndimage.map_coordinates((label == place).astype(np.float32), places, order=1, mode="nearest")
        for place in range(1, len(CLASSES))
    ]
    labels = np.argmax([1 - sum(shares), *shares], axis=0).astype(np.int32)
    return seen, np.where(np.isnan(seen), UNKNOWN, labels).astype(np.int32)


def recast(volume: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A volume with another contrast (gamma correction) and noise; NaN stays."""
    low, high = np.nanmin(volume), np.nanmax(volume)
    shades = (volume - low) / max(float(high - low), np.finfo(np.float32).tiny)
    shades = shades ** np.exp(generator.uniform(-GAMMA, GAMMA))
    deviation = generator.uniform(0, NOISE) * np.nanstd(shades)
    return np.asarray(shades + generator.normal(scale=deviation, size=volume.shape), np.float32)

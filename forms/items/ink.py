"""A sign on plain ground, drawn or photographed: cut out, fitted into a box, and centred by its mass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from forms.item import Shape
from forms.pictures import PictureError, PictureItem, opened

WORKING_SIDE = 140  # pixels; finer than any model here sees, coarse enough for milliseconds
GROUND_SIDE = 41  # of the working side; wider than a stroke, so that closing it leaves the ground
EDGE = 3  # pixels of the working side; what the ground is judged by
COLOUR_GAIN = 2.0  # a single colour is looked at where its contrast is so many times that of grey
LEAST_CONTRAST = 24.0  # of 255, between ink and ground
FAINTEST = 0.25  # of the darkest ink; below it is the paper's texture
SMALLEST_PART = 0.05  # of the largest part's area; smaller ones are specks


@dataclass(frozen=True)
class Ink(PictureItem):
    """Items of shape (height, width) uint8, light on dark.

    Attributes:
        white: The largest value of an item, which stands for full ink.
        box: The part of the item's side that the longer side of the ink takes, above 0, at most 1.
    """

    white: int = 255
    box: float = 1.0

    def file(self, data: bytes, shape: Shape) -> np.ndarray:
        """A PNG or JPEG file as an item, in 0..white.

        Raises:
            PictureError: It is no such file, too large, or there is no ink to be seen in it.
        """
        height, width = shape
        assert height and width
        ink = _centred(_ink(opened(data, 4 * WORKING_SIDE)), height, width, self.box)
        return np.rint(ink * self.white / 255).astype(np.uint8)


FORM = Ink


def _ink(image: Image.Image) -> np.ndarray:
    """How much ink there is at each pixel, 0 to 255, the sign's own rectangle only.

    The ground may be of any colour, and unevenly lit: it is what a closing with a square wider than a stroke leaves
    (Serra 1982, chapter 11).
    """
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    grey = _dark_on_light(image)
    ink = ndimage.grey_closing(grey, (GROUND_SIDE, GROUND_SIDE), mode="nearest") - grey
    darkest = np.quantile(ink, 0.998)
    if darkest < LEAST_CONTRAST:
        raise PictureError("There is nothing to see in the picture: expected a sign that stands out from its ground.")
    ink = np.clip((ink / darkest - FAINTEST) / (1 - FAINTEST), 0, 1)
    parts, count = ndimage.label(ink > 0, np.ones((3, 3)))
    areas = np.bincount(parts.ravel())[1:]
    kept = np.isin(parts, 1 + np.flatnonzero(areas >= SMALLEST_PART * areas.max(initial=0))) if count else ink > 0
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    return np.asarray(255 * (ink * kept)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _dark_on_light(image: Image.Image) -> np.ndarray:
    """The picture as grey values, 0 to 255, its sign darker than its ground.

    Colours of the same brightness are told apart by the one of red, green and blue in which they differ most.
    """
    planes = np.dstack([np.asarray(image.convert("L"), float), np.asarray(image, float)])
    contrasts = _contrasts(planes)
    best = max(range(1, planes.shape[2]), key=lambda index: abs(contrasts[index]))
    # Grey is a mean, and has the least noise.
    chosen = best if abs(contrasts[best]) > COLOUR_GAIN * abs(contrasts[0]) else 0
    plane: np.ndarray = planes[..., chosen]
    return plane if contrasts[chosen] < 0 else 255 - plane


def _contrasts(planes: np.ndarray) -> np.ndarray:
    """How far the sign stands out from its ground in each of the planes (H, W, P), above 0 where it is lighter.

    The ground, as the edge of the picture shows it, is a surface of second degree: a lamp, a shadow, a lens.
    """
    rows, columns = np.mgrid[-1 : 1 : planes.shape[0] * 1j, -1 : 1 : planes.shape[1] * 1j]
    terms = np.stack([np.ones_like(rows), rows, columns, rows**2, columns**2, rows * columns], axis=-1)
    edge = np.ones(rows.shape, bool)
    edge[EDGE:-EDGE, EDGE:-EDGE] = False
    ground = terms @ np.linalg.lstsq(terms[edge], planes[edge], rcond=None)[0]
    lightest, darkest = np.quantile(planes - ground, (0.995, 0.005), axis=(0, 1))
    return np.where(lightest > -darkest, lightest, darkest)


def _centred(ink: np.ndarray, height: int, width: int, box: float) -> np.ndarray:
    """The sign fitted into the box with its proportions kept, its centre of mass in the middle, as MNIST's were
    (LeCun et al. 1998, section III A)."""
    scale = min(height * box / ink.shape[0], width * box / ink.shape[1])
    size = (max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale)))
    small = np.asarray(Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.BOX), float)
    mass = ndimage.center_of_mass(small)
    result = np.zeros((height, width))
    top = int(np.clip(round((height - 1) / 2 - mass[0]), 0, height - small.shape[0]))
    left = int(np.clip(round((width - 1) / 2 - mass[1]), 0, width - small.shape[1]))
    result[top : top + small.shape[0], left : left + small.shape[1]] = small
    return np.clip(result, 0, 255)

"""Single objects in a mask that does not part those which touch."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

SMOOTH = 1.0  # places; the deviation of the Gaussian that takes small bumps off outlines
OWN = 1.0  # radii of a ball within which there is no other object's centre,
LEAST = 3.0  # and places; what is as small as that is not parted


def parted(mask: np.ndarray) -> np.ndarray:
    """The number of the object that each place of a mask (*sides) of bool belongs to, from 1, and 0 outside, int32.

    What hangs together is one object, or several where the largest balls in it are apart: a ball counts where its
    centre lies in no larger ball that counts, nor close by. A place belongs to the ball whose power there, distance² -
    radius², is least; so balls that overlap are parted where their surfaces cross (Aurenhammer 1987).
    """
    parts, _ = ndimage.label(mask)
    result = np.zeros(mask.shape, np.int32)
    count = 0
    for number, window in enumerate(ndimage.find_objects(parts), start=1):
        part = parts[window] == number
        owners = _owners(part)
        result[window][part] = count + owners
        count += int(owners.max())
    return result


def _owners(part: np.ndarray) -> np.ndarray:
    """Which object each place of something that hangs together belongs to, (places,) from 1, in their order."""
    if np.linalg.norm(np.subtract(part.shape, 1)) < LEAST:  # noise has very many of these
        return np.ones(np.count_nonzero(part), np.int32)
    framed = np.pad(part, 1)  # outside of the window is outside
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(framed), SMOOTH)
    depth = np.where(framed, depth, 0.0)[(slice(1, -1),) * part.ndim]
    places = np.argwhere(part)
    centres, radii = _balls(places, depth[part], ndimage.maximum_filter(depth, 3)[part])
    if len(centres) == 1:
        return np.ones(len(places), np.int32)
    # One side more makes the least power the least distance: √(largest² - radius²), which must not be rounded below 0.
    lifted = np.column_stack([centres, np.sqrt((radii.max() - radii) * (radii.max() + radii))])
    return 1 + KDTree(lifted).query(np.column_stack([places, np.zeros(len(places))]))[1]


def _balls(places: np.ndarray, depth: np.ndarray, highest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (objects, sides) and radii (objects,) of the balls that count, the largest first.

    Args:
        places: (places, sides).
        depth: Of each place, how far it is from the outside.
        highest: Of each place, the depth of the deepest place beside it, itself among them.
    """
    peaks = np.flatnonzero(depth >= highest)
    peaks = peaks[np.argsort(-depth[peaks], kind="stable")]
    near = KDTree(places[peaks]).query_ball_point
    free = np.ones(len(peaks), bool)
    counting = []
    for place, peak in enumerate(peaks):
        if free[place]:
            counting.append(peak)
            own = max(OWN * depth[peak], LEAST)
            free[near(places[peak], np.nextafter(own, 0))] = False  # what is just as far away is free
    return places[counting], depth[counting]

"""How well the surfaces of two masks fit, in the unit in which their voxels' spacing is given.

Both measures see surfaces as the tools do that made them known. The Hausdorff distance is that of voxels, as in MONAI
and MedPy; the surface Dice coefficient is that of small pieces of the surface between voxels, as its authors have it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def hausdorff_95(right: np.ndarray, found: np.ndarray, spacing: Sequence[float]) -> float:
    """The 95 % Hausdorff distance of two masks (*sides) of bool: so far are 95 % of the voxels of each surface at most
    from the other surface.

    It is the larger of the 95th percentiles of both directions, as in MONAI; MedPy takes that of the distances of both
    together, which is less. 0 where both masks are empty; where one is, the diagonal of the volume, which no distance
    exceeds.
    """
    if not (right.any() or found.any()):
        return 0.0
    if not (right.any() and found.any()):
        return float(np.linalg.norm(np.multiply(right.shape, spacing)))
    box = around(right | found)
    distances = apart(outermost(right[box]), outermost(found[box]), spacing)
    return max(float(np.percentile(one, 95)) for one in distances)


def surface_dice(right: np.ndarray, found: np.ndarray, spacing: Sequence[float], tolerance: float) -> float:
    """The share of the area of both surfaces of masks (*sides) of bool that is at most `tolerance` from the other one
    (Nikolov et al. 2018, section 4.3). 1 where both masks are empty, 0 where one is."""
    if not (right.any() and found.any()):
        return float(right.any() == found.any())
    box = around(right | found)
    first, second = surface(right[box], spacing), surface(found[box], spacing)
    there, back = apart(first > 0, second > 0, spacing)
    near = first[first > 0][there <= tolerance].sum() + second[second > 0][back <= tolerance].sum()
    return float(near / (first.sum() + second.sum()))


def around(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds a mask, which is not empty."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    return tuple(box)


def apart(first: np.ndarray, second: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """How far each place of the first mask is from the nearest one of the second, and the other way round."""
    from_first, from_second = (ndimage.distance_transform_edt(~mask, sampling=spacing) for mask in (first, second))
    return from_second[first], from_first[second]


def outermost(mask: np.ndarray) -> np.ndarray:
    """The voxels of a mask that have one beside them, along one of the sides, that is not in it; beyond the edge of the
    volume none is."""
    return mask & ~ndimage.binary_erosion(mask)


def surface(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The area of a mask's surface around each point in which voxels meet, (*sides + 1).

    In each point it is the length of the gradient of what part of the eight voxels around is in the mask, times the
    volume of a voxel: all together that is the area (coarea formula, Federer 1959). Nikolov et al. take the area of the
    triangles that marching cubes lay there.
    """
    voxels = np.lib.stride_tricks.sliding_window_view(np.pad(mask, 1).astype(np.float64), (2,) * mask.ndim)
    around_point = range(-mask.ndim, 0)
    slopes = [
        np.diff(voxels, axis=axis).mean(axis=tuple(around_point)) / length
        for axis, length in zip(around_point, spacing, strict=True)
    ]
    area: np.ndarray = np.linalg.norm(slopes, axis=0) * np.prod(spacing)
    return area

from __future__ import annotations

import numpy as np
import pytest

from tasks.drawing import BOTH, FOUND, RIGHT
from tasks.hippocampus.figures import ENLARGED, limits, plane

VOLUME = np.linspace(0, 1, 8 * 9 * 10, dtype=np.float32).reshape(8, 9, 10)


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()} & {RIGHT, FOUND, BOTH}


def test_the_slice_is_the_one_in_which_most_is_wrong() -> None:
    right = np.zeros(VOLUME.shape, np.int32)
    right[2:6, 3:6, 3:7] = 1
    found = right.copy()
    found[5, 3:6, 3:7] = 0  # wrong in the slice 5 across the first axis alone
    assert colours(plane(VOLUME, right, found, 0)) == {RIGHT}
    assert colours(plane(VOLUME, right, right, 0)) == {BOTH}
    assert colours(plane(VOLUME, np.zeros_like(right), right, 0)) == {FOUND}
    sides = [plane(VOLUME, right, found, axis).shape for axis in range(3)]
    assert sides == [(ENLARGED * height, ENLARGED * width, 3) for height, width in ((10, 9), (10, 8), (8, 9))]


def test_up_is_up_and_an_outline_is_thinner_than_a_voxel() -> None:
    right = np.zeros(VOLUME.shape, np.int32)
    right[4, 4, 9] = 2  # the highest voxels
    picture = plane(VOLUME, right, np.zeros_like(right), 0)
    rows, columns = np.nonzero((picture == RIGHT).all(axis=-1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 3, 16, 19)
    assert len(rows) == 10  # of 16 pixels; at the edge of the picture there is no line


def test_limits_of_agreement() -> None:
    assert limits([-1.0, 1.0, 3.0, 5.0]) == pytest.approx((2, 2 - 1.96 * np.sqrt(5), 2 + 1.96 * np.sqrt(5)))

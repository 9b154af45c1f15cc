from __future__ import annotations

import numpy as np
import pytest

from forms.objects import parted


def discs(*centres_and_radii: tuple[int, int, int], size: int = 64) -> np.ndarray:
    rows, columns = np.indices((size, size))
    return np.any([(rows - y) ** 2 + (columns - x) ** 2 <= r**2 for y, x, r in centres_and_radii], axis=0)


@pytest.mark.parametrize("shape", [(5, 5), (1, 1), (3, 4, 5)])
def test_nothing_has_no_objects_and_all_is_one(shape: tuple[int, ...]) -> None:
    assert not parted(np.zeros(shape, bool)).any()
    assert (parted(np.ones(shape, bool)) == 1).all()


def test_what_does_not_hang_together_is_apart_at_corners_too() -> None:
    found = parted(np.eye(3, dtype=bool))
    assert sorted(found[found > 0]) == [1, 2, 3]
    assert found.dtype == np.int32


@pytest.mark.parametrize("radii", [(10, 10), (12, 8)])
def test_discs_that_overlap_are_parted_where_they_cross(radii: tuple[int, int]) -> None:
    first, second = discs((32, 20, radii[0])), discs((32, 36, radii[1]))
    found = parted(first | second)
    assert found.max() == 2
    inner, outer = found[32, 20], found[32, 36]
    assert inner != outer
    assert (found[first & ~second] == inner).mean() > 0.97
    assert (found[second & ~first] == outer).mean() > 0.97


def test_a_disc_an_ellipse_and_a_ring_are_one_each() -> None:
    rows, columns = np.indices((64, 64))
    ellipse = ((rows - 30) / 8) ** 2 + ((columns - 30) / 20) ** 2 <= 1
    assert parted(discs((30, 30, 15))).max() == 1
    assert parted(ellipse).max() == 1
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    assert parted(ring).max() == 1


def test_balls_in_a_volume_are_parted() -> None:
    places = np.indices((24, 24, 40))
    balls = [np.sum((places - np.reshape(c, (3, 1, 1, 1))) ** 2, axis=0) <= 64 for c in ((12, 12, 12), (12, 12, 25))]
    assert parted(balls[0] | balls[1]).max() == 2


@pytest.mark.parametrize("share", [0.3, 0.5, 0.6, 0.8, 0.94])
def test_noise_is_parted_in_little_time(share: float) -> None:
    mask = np.random.default_rng(0).random((256, 256)) < share
    found = parted(mask)
    np.testing.assert_array_equal(found > 0, mask)
    assert len(np.unique(found)) == found.max() + 1 > 100

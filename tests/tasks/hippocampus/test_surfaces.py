from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tasks.hippocampus.augmentation import waves
from tasks.hippocampus.surfaces import hausdorff_95, outermost, surface, surface_dice
from tests.conftest import available

SPACING = (1.0, 1.0, 1.0)
HALF = np.sqrt(0.5)


def box(shape: tuple[int, int, int], *sides: tuple[int, int]) -> np.ndarray:
    """A mask with a box from the first to before the last place of each side."""
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*ends) for ends in sides)] = True
    return mask


CUBE = box((9, 9, 9), (2, 5), (3, 6), (3, 6))
MOVED = box((9, 9, 9), (3, 6), (3, 6), (3, 6))  # by one voxel along the first side


def test_the_outermost_voxels_of_a_cube_are_all_but_its_middle() -> None:
    assert outermost(CUBE).sum() == 26
    assert not outermost(CUBE)[3, 4, 4]
    np.testing.assert_array_equal(outermost(np.ones((2, 2, 2), bool)), True)  # beyond the volume there is nothing


def test_the_area_of_a_cube_and_of_a_ball() -> None:
    """Of a cube of 3³ voxels: 4 points inside each side with 1 mm², 2 on each edge with √½, 8 corners with √3 / 4."""
    area = surface(CUBE, SPACING)
    assert area.shape == (10, 10, 10)
    assert area.sum() == pytest.approx(24 + 24 * HALF + 2 * np.sqrt(3))
    assert sorted(set(np.round(area[area > 0], 6))) == pytest.approx([np.sqrt(3) / 4, HALF, 1], abs=1e-6)
    places = np.indices((50, 50, 50)) - 24.5
    ball = (places**2).sum(axis=0) < 20**2
    assert surface(ball, SPACING).sum() == pytest.approx(4 * np.pi * 20**2, rel=0.07)  # of marching cubes: 9 % too much


def test_a_cube_that_is_moved_by_a_voxel() -> None:
    """Of 26 voxels the nine of one side are off by 1 mm, and the one in the middle of the opposite side, which lies in
    the middle of the other cube. Of the surfaces all is off by 1 mm at most, and the same is what lies around both."""
    assert hausdorff_95(CUBE, MOVED, SPACING) == 1
    assert surface_dice(CUBE, MOVED, SPACING, 1.0) == 1
    same = 2 * (8 + 4 * HALF) + 8 * HALF + np.sqrt(3)
    assert surface_dice(CUBE, MOVED, SPACING, 0.5) == pytest.approx(same / (24 + 24 * HALF + 2 * np.sqrt(3)))


def test_distances_are_in_millimetres() -> None:
    """Where voxels are 2 mm long, one side of the cube is off by 2 mm; all else has something within 1 mm."""
    spacing = (2.0, 1.0, 1.0)
    assert hausdorff_95(CUBE, MOVED, spacing) == 2
    off, all_ = 4 + 4 * np.sqrt(5) + 3, 46 + 8 * np.sqrt(5) + 8 * np.sqrt(2)
    assert surface_dice(CUBE, MOVED, spacing, 1.0) == pytest.approx(1 - off / all_)
    assert hausdorff_95(CUBE, MOVED, (0.5, 3.0, 3.0)) == 0.5


def test_single_voxels() -> None:
    first, second = box((9, 9, 9), (1, 2), (4, 5), (4, 5)), box((9, 9, 9), (4, 5), (4, 5), (8, 9))
    assert hausdorff_95(first, second, SPACING) == 5
    assert surface_dice(first, second, SPACING, 3.61) == pytest.approx(1 / 4)  # of 8 points 2 are √(2² + 3²) off
    assert surface_dice(first, second, SPACING, 5.0) == 1


def test_the_percentile_is_that_of_the_worse_direction() -> None:
    """Of a line of 21 voxels only 11 are found: the distances of the others are 1 to 10, and the 20th of all is 9. Of
    both directions together it would be less."""
    right, found = box((1, 1, 30), (0, 1), (0, 1), (0, 21)), box((1, 1, 30), (0, 1), (0, 1), (0, 11))
    for first, second in ((right, found), (found, right)):
        assert hausdorff_95(first, second, SPACING) == pytest.approx(9)


def test_where_nothing_is_to_be_found() -> None:
    empty, some = np.zeros((3, 4, 12), bool), box((3, 4, 12), (0, 1), (0, 1), (0, 2))
    assert (hausdorff_95(empty, empty, SPACING), surface_dice(empty, empty, SPACING, 1.0)) == (0, 1)
    for first, second in ((some, empty), (empty, some)):
        assert hausdorff_95(first, second, SPACING) == 13  # the volume's diagonal
        assert surface_dice(first, second, SPACING, 1.0) == 0


@pytest.mark.tools
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # it calls SciPy by names that SciPy 2 will not have
@pytest.mark.parametrize("spacing", [SPACING, (1.0, 2.0, 0.7)])
def test_surfaces_fit_as_well_as_those_who_proposed_it_measure(spacing: tuple[float, float, float]) -> None:
    """DeepMind's package lays surfaces by marching cubes. Labels are held against themselves, deformed at random."""
    tool = pytest.importorskip("surface_distance")
    generator = np.random.default_rng(0)
    higher, farther = [], []
    for label in available("hippocampus").load("validation").targets:
        places = np.indices(label.shape) + 2 * waves(label.shape, generator)
        other = ndimage.map_coordinates(label, places, order=0, mode="nearest")
        for structure in (1, 2):
            masks = label == structure, other == structure
            measured = tool.compute_surface_distances(*masks, spacing)
            higher.append(tool.compute_surface_dice_at_tolerance(measured, 1.0) - surface_dice(*masks, spacing, 1.0))
            farther.append(hausdorff_95(*masks, spacing) - tool.compute_robust_hausdorff(measured, 95))
    print(
        f"{spacing}: {np.mean(higher):.4f}, {np.max(np.abs(higher)):.4f}; {np.mean(farther):.3f}, {np.max(farther):.3f}"
    )
    assert np.abs(higher).max() < 0.02
    assert 0 < np.mean(higher) < 0.01
    # Of voxels, distances are up to a voxel's diagonal larger than of the points between them.
    assert np.min(farther) > -1e-6
    assert np.max(farther) < np.linalg.norm(spacing)

from __future__ import annotations

import numpy as np
import pytest

from tasks.contract import Ragged, Split
from tasks.hippocampus import augmentation
from tasks.hippocampus.augmentation import UNKNOWN, Variation, deformed, padded, recast, sampled, unpadded, waves

GENERATOR = np.random.default_rng(0)
SHAPES = ((12, 16, 11), (10, 14, 13), (12, 12, 9))
VOLUMES = [GENERATOR.random(shape, dtype=np.float32) * 1e6 for shape in SHAPES]
LABELS = [GENERATOR.integers(3, size=shape).astype(np.int32) for shape in SHAPES]
SPLIT = padded(Split(Ragged(VOLUMES), Ragged(LABELS)))
ROWS = np.arange(3)


def test_volumes_are_padded_to_the_largest_and_back() -> None:
    assert SPLIT.inputs.shape == SPLIT.targets.shape == (3, 12, 16, 13)
    np.testing.assert_array_equal(SPLIT.targets == UNKNOWN, np.isnan(SPLIT.inputs))
    for row in ROWS:
        volume, label = unpadded(SPLIT.inputs[row], SPLIT.targets[row])
        np.testing.assert_array_equal(volume, VOLUMES[row])
        np.testing.assert_array_equal(label, LABELS[row])


def test_a_window_that_does_not_vary_is_a_part_of_the_volume_anywhere() -> None:
    one = np.arange(3 * 3 * 4, dtype=np.float32).reshape(1, 3, 3, 4)
    variation = Variation(seed=1, window=3, varied=False)
    starts = set()
    for epoch in range(100):
        seen, labels = variation(one, (one % 3).astype(np.int32), np.array([7]), epoch)
        first, _, third = np.unravel_index(int(seen[0, 0, 0, 0]), one.shape[1:])
        np.testing.assert_array_equal(seen[0], one[0, first : first + 2, :, third : third + 2])
        np.testing.assert_array_equal(labels, seen % 3)
        starts.add((int(first), int(third)))
    assert starts == {(first, third) for first in (0, 1) for third in (0, 1, 2)}


def test_around_a_volume_that_is_smaller_than_the_window_nothing_is_known() -> None:
    for window in (21, 0):
        seen, labels = Variation(seed=1, window=window, varied=False)(SPLIT.inputs, SPLIT.targets, ROWS, 0)
        assert seen.shape == labels.shape == ((3, 14, 21, 14) if window else (3, 12, 16, 13))
        np.testing.assert_array_equal(labels == UNKNOWN, np.isnan(seen))
    middle = seen[2, :, 2:14, 2:11]  # 12, 12 and 9 voxels in the middle of 12, 16 and 13
    np.testing.assert_array_equal(middle, VOLUMES[2])
    np.testing.assert_array_equal(labels[2, :, 2:14, 2:11], LABELS[2])


def test_a_volume_looks_the_same_in_whatever_batch_it_comes_and_another_in_another_epoch() -> None:
    variation = Variation(seed=1, window=9, varied=True)
    seen, labels = variation(SPLIT.inputs, SPLIT.targets, ROWS, 2)
    assert seen.dtype == np.float32
    assert labels.dtype == np.int32
    again = variation(SPLIT.inputs[[2, 0]], SPLIT.targets[[2, 0]], np.array([2, 0]), 2)
    np.testing.assert_array_equal(again[0], seen[[2, 0]])
    np.testing.assert_array_equal(again[1], labels[[2, 0]])
    for other, epoch in ((variation, 3), (Variation(seed=2, window=9, varied=True), 2)):
        assert not np.array_equal(other(SPLIT.inputs, SPLIT.targets, ROWS, epoch)[0], seen, equal_nan=True)


def test_labels_move_as_voxels_do() -> None:
    """Of a ball that is as bright as its label, what is brighter than half is the label."""
    ball = ((np.indices((20, 20, 20)) - 9.5) ** 2).sum(axis=0) < 36
    for seed in range(5):
        places = deformed(np.indices((20, 20, 20), np.float32), np.random.default_rng(seed))
        seen, label = sampled(ball.astype(np.float32), ball.astype(np.int32), places)
        known = label != UNKNOWN
        np.testing.assert_array_equal(known, ~np.isnan(seen))
        np.testing.assert_array_equal(label[known] == 1, seen[known] > 0.5)
        assert 0.5 < label[known].sum() / ball.sum() < 2


def test_turns_and_scales_keep_within_bounds_and_mirror_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "DEVIATION", 0.0)
    cube = np.indices((3, 3, 3), np.float32)
    mirrored = 0
    for seed in range(200):
        places = deformed(cube, np.random.default_rng(seed), mirrored=True)
        np.testing.assert_allclose(places[:, 1, 1, 1], 1, atol=1e-5)  # the middle stays
        matrix = np.stack([places[:, 2, 1, 1], places[:, 1, 2, 1], places[:, 1, 1, 2]], axis=1) - 1
        scale = np.cbrt(abs(np.linalg.det(matrix)))
        assert 1 / augmentation.SCALES[1] <= scale + 1e-5
        assert scale - 1e-5 <= 1 / augmentation.SCALES[0]
        np.testing.assert_allclose(matrix @ matrix.T, scale**2 * np.eye(3), atol=1e-4)
        mirrored += np.linalg.det(matrix) < 0
    assert 70 < mirrored < 130


def test_the_deformation_is_smooth_and_as_strong_as_it_should_be() -> None:
    for seed in range(5):
        moves = waves((32, 48, 32), np.random.default_rng(seed))
        assert moves.std() == pytest.approx(augmentation.DEVIATION, rel=1e-4)
        np.testing.assert_allclose(moves.mean(axis=(1, 2, 3)), 0, atol=1e-4)
        # Neighbours do not change places, nowhere.
        assert max(np.abs(np.diff(moves, axis=axis)).max() for axis in (1, 2, 3)) < 1


@pytest.mark.parametrize("volume", [VOLUMES[0], np.full((4, 4, 4), 7.0, np.float32)])
def test_contrast_varies_and_what_is_unknown_stays_so(volume: np.ndarray) -> None:
    holed = volume.copy()
    holed[0] = np.nan
    seen = recast(holed, np.random.default_rng(0))
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(seen), np.isnan(holed))

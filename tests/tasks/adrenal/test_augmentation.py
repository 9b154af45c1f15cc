from __future__ import annotations

import numpy as np

from tasks.adrenal.augmentation import Mirrors

GENERATOR = np.random.default_rng(0)
VOLUMES = (255 * (GENERATOR.random((40, 8, 7, 6)) < 0.2)).astype(np.uint8)
ROWS = np.arange(40)


def test_all_eight_mirror_images_come_equally_often() -> None:
    seen = Mirrors(1)(np.repeat(VOLUMES[:1], 800, axis=0), np.arange(800), 0)
    kinds, counts = np.unique(seen.reshape(800, -1), axis=0, return_counts=True)
    axes = [tuple(axis for axis in range(3) if number >> axis & 1) for number in range(8)]
    expected = {np.flip(VOLUMES[0], one).tobytes() for one in axes}
    assert {kind.tobytes() for kind in kinds} == expected
    assert 70 < counts.min() <= counts.max() < 135


def test_a_volume_looks_the_same_in_whatever_batch_it_comes() -> None:
    mirrors = Mirrors(1)
    before = VOLUMES.copy()
    whole = mirrors(VOLUMES, ROWS, 2)
    some = np.array([30, 3, 17])
    np.testing.assert_array_equal(mirrors(VOLUMES[some], some, 2), whole[some])
    assert whole.shape == VOLUMES.shape
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(VOLUMES, before)


def test_another_epoch_or_seed_looks_different() -> None:
    seen = Mirrors(1)(VOLUMES, ROWS, 2)
    assert not np.array_equal(seen, Mirrors(1)(VOLUMES, ROWS, 3))
    assert not np.array_equal(seen, Mirrors(2)(VOLUMES, ROWS, 2))

from __future__ import annotations

import numpy as np
import pytest

from tasks.adrenal import augmentation
from tasks.adrenal.augmentation import Augmentation

GENERATOR = np.random.default_rng(0)
VOLUMES = (255 * (GENERATOR.random((40, 8, 8, 8)) < 0.2)).astype(np.uint8)
ROWS = np.arange(40)


@pytest.fixture
def only_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEGREES", "VOXELS"):
        monkeypatch.setattr(augmentation, name, 0.0)


@pytest.mark.usefixtures("only_mirrored")
def test_all_eight_mirror_images_come() -> None:
    seen = Augmentation(1)(np.repeat(VOLUMES[:1], 200, axis=0), np.arange(200), 0)
    kinds = {one.tobytes() for one in seen}
    axes = [tuple(axis for axis in range(3) if number >> axis & 1) for number in range(8)]
    assert kinds == {np.flip(VOLUMES[0], axis).tobytes() for axis in axes}


def test_a_volume_looks_the_same_in_whatever_batch_it_comes() -> None:
    augment = Augmentation(1)
    before = VOLUMES.copy()
    whole = augment(VOLUMES, ROWS, 2)
    some = np.array([30, 3, 17])
    np.testing.assert_array_equal(augment(VOLUMES[some], some, 2), whole[some])
    assert whole.shape == VOLUMES.shape
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(VOLUMES, before)


def test_another_epoch_or_seed_looks_different() -> None:
    seen = Augmentation(1)(VOLUMES, ROWS, 2)
    assert not np.array_equal(seen, Augmentation(1)(VOLUMES, ROWS, 3))
    assert not np.array_equal(seen, Augmentation(2)(VOLUMES, ROWS, 2))


def test_a_ball_stays_where_it_is_and_as_large_as_it_was() -> None:
    places = np.indices((20, 20, 20)) - 9.5
    ball = (255 * ((places**2).sum(axis=0) < 36)).astype(np.uint8)
    seen = Augmentation(1)(np.repeat(ball[None], 60, axis=0), np.arange(60), 0).astype(float)
    np.testing.assert_allclose(seen.sum(axis=(1, 2, 3)) / ball.sum(), 1, atol=0.02)
    centres = np.einsum("nxyz,axyz->na", seen, places) / seen.sum(axis=(1, 2, 3))[:, None]
    assert np.abs(centres.mean(axis=0)).max() < 0.25
    assert centres.std() == pytest.approx(0.5, rel=0.3)

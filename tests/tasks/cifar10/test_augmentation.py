from __future__ import annotations

import numpy as np

from tasks.cifar10.augmentation import Augmentation

IMAGES = np.random.default_rng(0).integers(256, size=(200, 8, 6, 3), dtype=np.uint8)
ROWS = np.arange(200)


def flipped(seen: np.ndarray) -> np.ndarray:
    """Which of the images are flipped, where nothing is translated."""
    plain = (seen == IMAGES).all(axis=(1, 2, 3))
    mirror = (seen == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (plain ^ mirror).all()
    return mirror


def test_each_image_is_flipped_in_one_of_two_epochs() -> None:
    augment = Augmentation(seed=1, examples=200, translation=0)
    first, second, third = (flipped(augment(IMAGES, ROWS, epoch)) for epoch in range(3))
    assert 70 < first.sum() < 130
    np.testing.assert_array_equal(second, ~first)
    np.testing.assert_array_equal(third, first)


def test_images_are_translated_by_at_most_that_much_and_reflected_at_the_edge() -> None:
    rows, columns = np.mgrid[:5, :5]
    image = (10 * rows + columns).astype(np.uint8)[None, :, :, None].repeat(400, axis=0)
    seen = Augmentation(seed=3, examples=400, translation=1)(image, np.arange(400), 0)[..., 0]
    reflected = np.array([1, 0, 1, 2, 3, 4, 3])
    allowed = {}
    for top in range(3):
        for left in range(3):
            window = 10 * reflected[top : top + 5, None] + reflected[None, left : left + 5]
            allowed[window.tobytes()] = (top, left, False)
            allowed[np.ascontiguousarray(window[:, ::-1]).tobytes()] = (top, left, True)
    found = [allowed[window.astype(np.int64).tobytes()] for window in seen]
    assert len(set(found)) == len(allowed) == 18
    # Each of the three is drawn by itself: none tells the others, nor the next image's.
    drawn = np.array(found, float)
    later = np.roll(drawn, 1, axis=0)
    correlations = np.corrcoef(np.hstack([drawn, later]), rowvar=False)
    assert np.abs(correlations - np.eye(6)).max() < 0.2


def test_an_image_looks_the_same_in_whatever_batch_it_comes() -> None:
    augment = Augmentation(seed=1, examples=200, translation=4)
    whole = augment(IMAGES, ROWS, 2)
    some = np.array([150, 3, 77])
    np.testing.assert_array_equal(augment(IMAGES[some], some, 2), whole[some])


def test_the_same_epoch_looks_the_same_another_one_does_not() -> None:
    augment = Augmentation(seed=1, examples=200, translation=4)
    before = IMAGES.copy()
    second = augment(IMAGES, ROWS, 2)
    assert second.dtype == np.uint8
    np.testing.assert_array_equal(second, Augmentation(seed=1, examples=200, translation=4)(IMAGES, ROWS, 2))
    assert not np.array_equal(second, augment(IMAGES, ROWS, 4))
    assert not np.array_equal(second, Augmentation(seed=2, examples=200, translation=4)(IMAGES, ROWS, 2))
    np.testing.assert_array_equal(IMAGES, before)

from __future__ import annotations

import numpy as np

from tasks.cifar10.augmentation import Augmentation

IMAGES = np.random.default_rng(0).integers(256, size=(200, 8, 6, 3), dtype=np.uint8)


def mirrored(seen: np.ndarray) -> np.ndarray:
    """Which of the images are mirrored, where nothing is shifted."""
    plain = (seen == IMAGES).all(axis=(1, 2, 3))
    mirror = (seen == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (plain ^ mirror).all()
    return mirror


def test_each_image_is_mirrored_in_one_of_two_epochs() -> None:
    augment = Augmentation(seed=1, shift=0)
    first, second, third = (mirrored(augment(IMAGES, epoch)) for epoch in range(3))
    assert 70 < first.sum() < 130
    np.testing.assert_array_equal(second, ~first)
    np.testing.assert_array_equal(third, first)


def test_images_are_shifted_by_at_most_that_much_and_mirrored_at_the_edge() -> None:
    rows, columns = np.mgrid[:5, :5]
    image = (10 * rows + columns).astype(np.uint8)[None, :, :, None].repeat(400, axis=0)
    seen = Augmentation(seed=3, shift=1)(image, 0)[..., 0]
    reflected = np.array([1, 0, 1, 2, 3, 4, 3])
    allowed = {}
    for top in range(3):
        for left in range(3):
            window = 10 * reflected[top : top + 5, None] + reflected[None, left : left + 5]
            allowed[window.tobytes()] = (top, left, False)
            allowed[np.ascontiguousarray(window[:, ::-1]).tobytes()] = (top, left, True)
    found = {allowed[window.astype(np.int64).tobytes()] for window in seen}
    assert len(found) == len(allowed) == 18


def test_the_same_epoch_looks_the_same_another_one_does_not() -> None:
    augment = Augmentation(seed=1)
    before = IMAGES.copy()
    assert augment(IMAGES, 2).dtype == np.uint8
    np.testing.assert_array_equal(augment(IMAGES, 2), Augmentation(seed=1)(IMAGES, 2))
    assert not np.array_equal(augment(IMAGES, 2), augment(IMAGES, 4))
    assert not np.array_equal(augment(IMAGES, 2), Augmentation(seed=2)(IMAGES, 2))
    np.testing.assert_array_equal(IMAGES, before)

from __future__ import annotations

import numpy as np
import pytest

from forms.corruption import PARTS, of_numbers, of_pictures
from forms.items.row import Row

GENERATOR = np.random.default_rng(1)
ROW = Row(("age", "kind"), (40.0, 1.0), choices=((), ("cat", "dog", "eel")), missing=(-1.0, -1.0))
ROWS = np.column_stack([GENERATOR.normal(40, 10, 300), GENERATOR.integers(0, 3, 300)]).astype(np.float32)


@pytest.mark.parametrize("shape", [(20, 8, 8), (20, 9, 6, 3), (3, 1, 1)])
@pytest.mark.parametrize("white", [16, 255])
def test_pictures_stay_pictures(shape: tuple[int, ...], white: int) -> None:
    pictures = GENERATOR.integers(0, white + 1, shape, np.uint8)
    kinds = set()
    for kind, worse in of_pictures(pictures, white, GENERATOR):
        kinds.add(kind)
        assert (worse.shape, worse.dtype) == (pictures.shape, pictures.dtype)
        assert worse.max() <= white
    assert len(kinds) == 10


def test_pictures_are_worse_as_it_is_said() -> None:
    picture = np.zeros((1, 10, 10), np.uint8)
    picture[0, 2, 3] = 200
    found = dict(of_pictures(picture, 255, GENERATOR))
    assert found["mirrored"][0, 2, 6] == 200
    assert found["negative"][0, 2, 3] == 55
    moved = [worse for kind, worse in of_pictures(picture, 255, GENERATOR) if kind == "moved"]
    assert moved[3][0, 3, 3] == 200  # by a tenth, downwards
    turned = [worse for kind, worse in of_pictures(picture, 255, GENERATOR) if kind == "turned"]
    assert turned[-1][0, 7, 6] == 200  # by 180°


def test_words_stay_words_and_numbers_move() -> None:
    found = list(ROW.corrupted(ROWS, GENERATOR))
    for kind, worse in found:
        assert worse.dtype == np.float32
        words = worse[:, 1][worse[:, 1] >= 0]
        assert set(words) <= {0, 1, 2}
        if kind == "of another level":
            assert np.ptp(worse[:, 0] - ROWS[:, 0]) < 1e-3
    gone = [(worse == -1).mean() for kind, worse in found if kind == "values missing"]
    assert gone == pytest.approx(PARTS, abs=0.05)


def test_values_of_others_keep_their_distribution() -> None:
    worse = [worse for kind, worse in of_numbers(ROWS, GENERATOR) if kind == "values of others"]
    for one in worse:
        np.testing.assert_array_equal(np.sort(one, axis=0), np.sort(ROWS, axis=0))
        assert (one != ROWS).any()

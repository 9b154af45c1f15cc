from __future__ import annotations

import numpy as np
import pytest

from forms.corruption import PARTS, of_numbers, of_pictures, of_volumes
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


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_volumes_stay_volumes(dtype: str) -> None:
    volumes = GENERATOR.integers(0, 256, (3, 20, 18, 16)).astype(np.dtype(dtype))
    kinds = set()
    for kind, worse in of_volumes(volumes, GENERATOR):
        kinds.add(kind)
        assert (worse.shape, worse.dtype) == (volumes.shape, volumes.dtype)
        assert not np.array_equal(worse, volumes)
    assert len(kinds) == 7


def test_volumes_are_worse_as_it_is_said() -> None:
    volumes = np.full((1, 10, 10, 10), -1, np.float32)
    volumes[0, 2, 3, 4] = 9
    found: dict[str, list[np.ndarray]] = {}
    for kind, worse in of_volumes(volumes, GENERATOR):
        found.setdefault(kind, []).append(worse[0])
    places = [(7, 3, 4), (2, 6, 4), (2, 3, 5)]
    assert [worse[place] for worse, place in zip(found["mirrored"], places, strict=True)] == [9, 9, 9]
    assert found["moved"][0][3, 3, 4] == 9  # by a tenth along the first axis
    assert found["moved"][0].min() == -1  # as what is beyond the edge
    assert found["turned"][4][7, 3, 5] == pytest.approx(9)  # by 180°, about the second axis
    assert found["of another level"][1][2, 3, 4] == 11.5  # a quarter of the range from -1 to 9


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

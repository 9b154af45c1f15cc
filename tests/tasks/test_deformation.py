from __future__ import annotations

import numpy as np

from tasks.deformation import Deformation

GENERATOR = np.random.default_rng(0)
ITEMS = GENERATOR.random((40, 32, 32)).astype(np.float32)
LABELS = GENERATOR.integers(9, size=(40, 32, 32)).astype(np.int32)
ROWS = np.arange(40)
TURNED = Deformation(seed=1, mirrored=(0, 1), turned=(0, 1))
ELASTIC = Deformation(seed=1, mirrored=(0, 1), turned=(0, 1), deviation=3.0, wavelength=16)


def test_items_and_labels_are_mirrored_and_turned_alike_in_all_eight_ways() -> None:
    items, labels = TURNED(ITEMS, LABELS, ROWS, 0)
    seen = set()
    for before, after, label, new_label in zip(ITEMS, items, LABELS, labels, strict=True):
        ways = {(flip, turns): np.rot90(before[::flip], turns) for flip in (1, -1) for turns in range(4)}
        (way,) = [way for way, one in ways.items() if np.array_equal(one, after)]
        np.testing.assert_array_equal(np.rot90(label[:: way[0]], way[1]), new_label)
        seen.add(way)
    assert len(seen) == 8


def test_what_is_not_square_keeps_its_shape() -> None:
    items, labels = ELASTIC(ITEMS[:, :20], LABELS[:, :20], ROWS, 0)
    assert items.shape == labels.shape == (40, 20, 32)


def test_places_and_labels_are_moved_alike() -> None:
    """A picture of its own labels: where neighbours are alike, both show the same."""
    labels = np.zeros((4, 64, 64), np.int32)
    labels[:, 20:44, 24:40] = 7
    items, moved = ELASTIC(labels.astype(np.float32), labels, np.arange(4), 3)
    sure = (items == 0) | (items == 7)
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(items[sure], moved[sure])
    assert not np.array_equal(items, TURNED(labels.astype(np.float32), labels, np.arange(4), 3)[0])
    assert set(np.unique(moved)) == {0, 7}
    assert items.dtype == np.float32
    assert moved.dtype == np.int32


def test_how_far_places_are_moved() -> None:
    moves = ELASTIC._moves((200, 200), np.random.default_rng(0))
    assert moves.shape == (2, 200, 200)
    assert 1.5 < moves.std() < 3.5
    assert np.abs(np.diff(moves, axis=1)).max() < 1.5  # neighbours stay neighbours


def test_an_example_looks_the_same_in_whatever_batch_it_comes_and_another_in_another_epoch() -> None:
    before = ITEMS.copy(), LABELS.copy()
    whole = ELASTIC(ITEMS, LABELS, ROWS, 2)
    some = np.array([31, 3])
    for all_, few in zip(whole, ELASTIC(ITEMS[some], LABELS[some], some, 2), strict=True):
        np.testing.assert_array_equal(all_[some], few)
    assert not np.array_equal(whole[0], ELASTIC(ITEMS, LABELS, ROWS, 3)[0])
    assert not np.array_equal(whole[0], Deformation(2, (0, 1), (0, 1), 3.0, 16)(ITEMS, LABELS, ROWS, 2)[0])
    np.testing.assert_array_equal(ITEMS, before[0])
    np.testing.assert_array_equal(LABELS, before[1])


def test_volumes_are_deformed_too() -> None:
    volumes = GENERATOR.random((2, 9, 10, 11)).astype(np.float32)
    labels = (volumes > 0.5).astype(np.int32)
    items, moved = Deformation(1, mirrored=(1,), deviation=1.0, wavelength=5)(volumes, labels, np.arange(2), 0)
    assert items.shape == moved.shape == (2, 9, 10, 11)

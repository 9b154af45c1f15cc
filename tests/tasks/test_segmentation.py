from __future__ import annotations

import numpy as np
import pytest

from tasks.contract import Ragged
from tasks.segmentation import boundary, boundary_f1, cross_entropy, found_objects, metrics, overlap, scores

GENERATOR = np.random.default_rng(0)
EMPTY, FULL = np.zeros((2, 3), int), np.ones((2, 3), int)
PIXEL = np.array([[0, 1, 0], [0, 0, 0]])
ROW = np.array([[1, 1, 1], [0, 0, 0]])


@pytest.mark.parametrize(
    ("right", "found", "dice", "iou"),
    [
        (EMPTY, EMPTY, 1, 1),
        (FULL, FULL, 1, 1),
        (EMPTY, FULL, 0, 0),
        (EMPTY, PIXEL, 0, 0),
        (PIXEL, PIXEL, 1, 1),
        (PIXEL, ROW, 2 * 1 / 4, 1 / 3),
        (PIXEL, FULL, 2 * 1 / 7, 1 / 6),
        (ROW, FULL, 2 * 3 / 9, 3 / 6),
        (ROW, 1 - ROW, 0, 0),
    ],
)
def test_dice_and_iou_are_exact_and_symmetric(right: np.ndarray, found: np.ndarray, dice: float, iou: float) -> None:
    for pair in ((right, found), (found, right)):
        counts = overlap([pair[0]], [pair[1]], 2)
        assert counts.dice()[0, 1] == pytest.approx(dice, abs=1e-15)
        assert counts.iou()[0, 1] == pytest.approx(iou, abs=1e-15)


def test_each_class_of_each_item_is_counted() -> None:
    right = np.array([[0, 1, 2, 2], [0, 0, 0, 0]])
    found = np.array([[0, 2, 2, 2], [0, 0, 1, 0]])
    counts = overlap(right, found, 3)
    np.testing.assert_array_equal(counts.right, [[1, 1, 2], [4, 0, 0]])
    np.testing.assert_array_equal(counts.found, [[1, 0, 3], [3, 1, 0]])
    np.testing.assert_array_equal(counts.both, [[1, 0, 2], [3, 0, 0]])
    np.testing.assert_allclose(counts.dice(), [[1, 0, 4 / 5], [6 / 7, 0, 1]])
    np.testing.assert_allclose(counts.iou(), [[1, 0, 2 / 3], [3 / 4, 0, 1]])


def test_items_may_be_of_any_size_and_rank() -> None:
    sizes = [(3, 4), (1, 1), (7, 2)]
    right = [GENERATOR.integers(2, size=size) for size in sizes]
    counts = overlap(Ragged(right), Ragged(right), 2)
    np.testing.assert_array_equal(counts.both.sum(axis=1), [12, 1, 14])
    assert (counts.dice() == 1).all()
    volume = GENERATOR.integers(2, size=(1, 3, 4, 5))
    np.testing.assert_array_equal(overlap(volume, volume, 2).both.sum(), 60)


def test_cross_entropy_is_the_mean_of_the_places() -> None:
    output = np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.0, 1.0], [1.0, 0.0]]])
    found = cross_entropy(np.array([[0, 1], [1, 1]]), output)
    assert found == pytest.approx(-np.log([0.9, 0.5, 1, 1e-7]).mean())


def test_the_boundary_is_what_lies_beside_the_outside_but_not_at_the_edge_of_the_picture() -> None:
    mask = np.zeros((5, 5), bool)
    mask[:, :3] = True
    np.testing.assert_array_equal(np.argwhere(boundary(mask))[:, 1], [2] * 5)
    assert not boundary(np.ones((4, 4), bool)).any()


def test_boundary_f1_of_lines_that_are_moved() -> None:
    def line(column: int) -> np.ndarray:
        mask = np.zeros((6, 12), bool)
        mask[:, column] = True
        return mask

    assert boundary_f1(line(3), line(3), 2) == 1
    assert boundary_f1(line(3), line(5), 2) == 1
    assert boundary_f1(line(3), line(6), 2) == 0
    assert boundary_f1(line(3), line(6), 2, spacing=(1.0, 0.5)) == 1
    # All of one line is found; of the two that were found, one is right: 2 · 1 · ½ / (1 + ½).
    assert boundary_f1(line(3), line(3) | line(9), 2) == pytest.approx(2 / 3)
    assert boundary_f1(line(3) | line(9), line(3), 2) == pytest.approx(2 / 3)


def test_boundary_f1_of_masks_without_a_boundary() -> None:
    empty, full, pixel = np.zeros((3, 3), bool), np.ones((3, 3), bool), np.eye(3, dtype=bool)
    assert boundary_f1(empty, empty, 2) == boundary_f1(full, full, 2) == 1
    assert boundary_f1(empty, pixel, 2) == boundary_f1(pixel, empty, 2) == 0


def test_objects_are_found_where_more_than_half_is_shared() -> None:
    right = np.array([1, 1, 1, 1, 0, 2, 2, 0, 3, 3])
    same = np.array([9, 9, 9, 9, 0, 4, 4, 0, 1, 1])  # whatever their numbers
    half = np.array([1, 1, 0, 0, 0, 5, 0, 0, 3, 3])
    merged = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 0])  # 4 of 7 with the first
    for found, count in ((same, 3), (half, 1), (merged, 1), (0 * right, 0)):
        assert found_objects(right, found) == found_objects(found, right) == count
    assert found_objects(0 * right, 0 * right) == 0


def test_scores_and_metrics_of_several_classes_and_sizes() -> None:
    targets = [np.array([[0, 1], [2, 2]]), np.array([[0, 0, 0]])]
    found = [np.array([[0, 1], [2, 0]]), np.array([[0, 0, 1]])]
    outputs = [np.eye(3)[one] for one in found]
    rows = scores(("ground", "a", "b"), targets, outputs, np.array(["x", "y"]))
    np.testing.assert_allclose(rows.score, [(1 + 2 / 3) / 2, (0 + 1) / 2])
    values = metrics(("ground", "a", "b"), rows)
    assert values["dice"] == pytest.approx(rows.score.mean())
    assert values["iou"] == pytest.approx(((1 + 1 / 2) / 2 + (0 + 1) / 2) / 2)
    assert (values["dice_a"], values["dice_b"]) == pytest.approx((1 / 2, (2 / 3 + 1) / 2))
    assert values["dice_of_set"] == pytest.approx(((2 * 1 / 3) + (2 * 1 / 3)) / 2)
    assert values["loss"] == pytest.approx((-np.log(1e-7) / 4 - np.log(1e-7) / 3) / 2)


def test_of_one_class_there_is_one_dice() -> None:
    rows = scores(("ground", "cell"), [PIXEL], [np.eye(2)[ROW]], np.array(["all"]))
    values = metrics(("ground", "cell"), rows)
    assert set(values) == {"dice", "iou", "dice_of_set", "loss"}
    assert values["dice"] == values["dice_of_set"] == 0.5

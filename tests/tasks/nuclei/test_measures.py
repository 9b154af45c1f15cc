from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.contract import Ragged, Split
from tasks.drawing import BOTH, FOUND, RIGHT
from tasks.nuclei.figures import figures, outlined
from tasks.nuclei.measures import metrics, scores

SMALL, LARGE = np.zeros((20, 24), np.int32), np.zeros((40, 30), np.int32)
SMALL[2:8, 2:8], SMALL[12:18, 12:18] = 1, 2
LARGE[5:15, 5:15], LARGE[25:35, 15:25] = 1, 3  # of the second nothing is left
PICTURES = (4 + 100 * (SMALL > 0)).astype(np.float32), (13 + 20 * (LARGE > 0)).astype(np.float32)
SPLIT = Split(Ragged(PICTURES), Ragged([SMALL, LARGE]))


def outputs(*found: np.ndarray) -> list[np.ndarray]:
    return [np.eye(2, dtype=np.float32)[np.minimum(one, 1)] for one in found]


def test_right_answers_get_the_best_of_all_metrics_whatever_the_sizes() -> None:
    rows = scores(SPLIT, outputs(SMALL, LARGE))
    assert rows.slice.tolist() == ["black, bright", "grey, dim"]
    values = metrics(rows)
    assert values.pop("loss") == pytest.approx(0, abs=1e-6)
    assert values == dict.fromkeys(values, 1.0)
    assert set(values) == {"dice", "iou", "dice_of_set", "boundary_f1", "object_f1", "object_f1_of_set"}


def test_what_is_missed_and_what_is_found_in_vain() -> None:
    small = np.where(SMALL == 1, 1, 0)
    small[0, 23] = 1  # found in vain
    rows = scores(SPLIT, outputs(small, 0 * LARGE))
    np.testing.assert_array_equal(rows.columns["nuclei"], [2, 2])
    np.testing.assert_array_equal(rows.columns["objects"], [2, 0])
    np.testing.assert_array_equal(rows.columns["found_objects"], [1, 0])
    values = metrics(rows)
    assert values["object_f1"] == pytest.approx((2 * 1 / 4 + 0) / 2)
    assert values["object_f1_of_set"] == pytest.approx(2 * 1 / (4 + 2))
    assert values["dice"] == pytest.approx(2 * 36 / (72 + 37) / 2)
    assert values["dice_of_set"] == pytest.approx(2 * 36 / (72 + 37 + 200))
    assert values["boundary_f1"] < 0.5


def test_an_outline_may_be_off_by_two_pixels() -> None:
    for off, value in ((1, 1.0), (4, 0.0)):  # at corners it is off by more, of 1 by 1.4
        larger = np.zeros_like(LARGE)
        larger[5 - off : 15 + off, 5 - off : 15 + off] = larger[25 - off : 35 + off, 15 - off : 25 + off] = 1
        assert scores(SPLIT, outputs(SMALL, larger)).columns["boundary_f1"][1] == value


def test_pictures_without_nuclei_are_right_where_nothing_is_found() -> None:
    split = Split(np.zeros((2, 8, 8), np.float32), np.zeros((2, 8, 8), np.int32))
    assert metrics(scores(split, np.stack(outputs(*split.targets))))["object_f1"] == 1
    values = metrics(scores(split, np.stack(outputs(*(split.targets + 1)))))
    assert (values["dice"], values["object_f1"], values["object_f1_of_set"]) == (0, 0, 0)


def test_outlines_have_the_colours_of_the_legend() -> None:
    picture = outlined(np.zeros((20, 24)), SMALL, np.where(SMALL == 1, 1, 0) + np.eye(20, 24, -15, dtype=int))
    colours = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    assert colours == {(0, 0, 0), RIGHT, FOUND, BOTH}


def test_pictures_of_different_sizes_are_on_one_sheet(tmp_path: Path) -> None:
    drawn = dict(figures(SPLIT, outputs(SMALL, 0 * LARGE)))
    assert list(drawn) == ["outlines.png", "worst.png", "numbers.png"]
    for name, figure in drawn.items():
        figure.savefig(tmp_path / name)

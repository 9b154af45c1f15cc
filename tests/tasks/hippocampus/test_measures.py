from __future__ import annotations

import numpy as np
import pytest

from tasks.contract import Ragged, Split
from tasks.hippocampus import measures
from tasks.hippocampus.measures import metrics, scores
from tests.tasks.hippocampus.test_surfaces import CUBE, MOVED


def probabilities(label: np.ndarray) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[label]


def test_scores_and_metrics_of_two_volumes() -> None:
    first, second = np.zeros((9, 9, 9), np.int32), np.zeros((4, 5, 6), np.int32)
    first[CUBE] = 1
    second[:2], second[2:] = 1, 2
    found = np.zeros((9, 9, 9), np.int32)
    found[MOVED] = 1
    found[0, 0, 0] = 2  # of which there is none
    split = Split(Ragged([first.astype(np.float32), second.astype(np.float32)]), Ragged([first, second]))
    rows = scores(split, Ragged([probabilities(found), probabilities(second)]))
    np.testing.assert_allclose(rows.score, [(18 * 2 / 54 + 0) / 2, 1])
    np.testing.assert_allclose(rows.columns["hd95_anterior"], [1, 0])
    np.testing.assert_allclose(rows.columns["hd95_posterior"], [9 * np.sqrt(3), 0])
    np.testing.assert_allclose(rows.columns["surface_dice_posterior"], [0, 1])
    assert rows.slice.tolist() == ["small", "small"]
    measured = metrics(rows)
    assert measured["dice"] == pytest.approx(2 / 3)
    assert measured["dice_anterior"] == pytest.approx(5 / 6)
    assert (measured["volume_bias_anterior"], measured["volume_bias_posterior"]) == (0, 0.5)
    assert measured["volume_error_posterior"] == 0.5


def test_slices_are_by_the_size_of_both_structures() -> None:
    low, high = measures.THIRDS
    labels = [np.ones((1, 1, int(volume)), np.int32) for volume in (low, low + 1, high, high + 1)]
    assert measures.sizes(labels).tolist() == ["small", "middling", "middling", "large"]

"""Regression's measures, on values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from tasks import drawing
from tasks.contract import Split
from tasks.regression import THIRDS, figures, metrics, scores

TARGETS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], np.float32)
PREDICTED = np.array([[1.5], [2.0], [2.0], [4.0], [6.0], [6.5]], np.float32)
SPLIT = Split(np.zeros((6, 2), np.float32), TARGETS)


def test_measures_are_those_of_the_field() -> None:
    found = metrics(scores(SPLIT, PREDICTED))
    assert found["mae"] == pytest.approx(3 / 6)
    assert found["loss"] == pytest.approx((0.25 + 1 + 1 + 0.25) / 6)
    assert found["r2"] == pytest.approx(1 - 2.5 / 17.5)
    assert found == pytest.approx(
        {
            "mae": mean_absolute_error(TARGETS, PREDICTED),
            "rmse": root_mean_squared_error(TARGETS, PREDICTED),
            "r2": r2_score(TARGETS, PREDICTED),
            "loss": root_mean_squared_error(TARGETS, PREDICTED) ** 2,
        }
    )


def test_an_example_belongs_to_a_third_by_its_target() -> None:
    assert scores(SPLIT, PREDICTED).slice.tolist() == [name for name in THIRDS for _ in range(2)]


def test_of_intervals_it_is_told_how_many_hold_and_how_wide_they_are() -> None:
    outputs = np.hstack([PREDICTED, TARGETS[:, None] - [[1.0]] * 6, TARGETS[:, None] + [[0.5]] * 6])
    outputs[2, 1] = 3.5  # the true 3 lies below
    found = metrics(scores(SPLIT, outputs.astype(np.float32)))
    assert found["within"] == pytest.approx(5 / 6)
    assert found["width"] == pytest.approx((5 * 1.5 + 0) / 6)


def test_of_targets_that_are_all_the_same_nothing_is_explained() -> None:
    same = Split(SPLIT.inputs, np.full(6, 2.0, np.float32))
    assert metrics(scores(same, PREDICTED))["r2"] == 0.0


@pytest.mark.parametrize("width", [1, 3])
def test_figures_can_be_drawn(width: int) -> None:
    outputs = np.repeat(PREDICTED, width, axis=1)
    assert [name for name, _ in figures(SPLIT, outputs)] == ["predicted_against_true.png", "residuals.png"]


def test_residuals_say_to_which_side_the_model_errs() -> None:
    titles = [drawing.residuals(np.array([3.0]), np.array([value])).axes[0].get_title() for value in (1.0, 7.5)]
    assert titles == ["On average 2 too low", "On average 4.5 too high"]

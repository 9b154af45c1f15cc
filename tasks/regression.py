"""Measures, pictures and a loss of regression, for tasks whose model gives a number, with or without an interval."""

from __future__ import annotations

import numpy as np

from tasks.contract import Figures, Scores, Split

THIRDS = ("lowest third", "middle third", "highest third")


def metrics(scores: Scores) -> dict[str, float]:
    """Mean absolute error, root mean squared error, R² and the mean squared error as "loss".

    Args:
        scores: Rows as `scores` below gives them.

    Returns:
        `mae` and `rmse` in the target's unit, `loss` in its square, `r2` at most 1: 0 is what always saying the mean of
        these targets gets. Of a model with an interval also `within`, the share of the targets in their intervals, and
        `width`, the intervals' mean width in the target's unit.
    """
    targets, squared = scores.columns["target"], scores.columns["squared_error"]
    spread = float(np.mean((targets - targets.mean()) ** 2))
    loss = float(np.mean(squared))
    measured = {
        "mae": float(np.mean(scores.score)),
        "rmse": loss**0.5,
        "r2": 1 - loss / spread if spread else 0.0,  # of targets that are all the same, nothing can be explained
        "loss": loss,
    }
    if "within" in scores.columns:
        measured["within"] = float(np.mean(scores.columns["within"]))
        measured["width"] = float(np.mean(scores.columns["width"]))
    return measured


def scores(split: Split, outputs: np.ndarray) -> Scores:
    """One row an example; the score is the absolute error, the slice a third of the examples by their target.

    Args:
        split: Its targets are numbers, shape (N,).
        outputs: Numbers (N, 1), or with the ends of their intervals (N, 3).
    """
    targets = np.asarray(split.targets, np.float64)
    predicted = outputs[:, 0].astype(np.float64)
    columns = {"target": targets, "predicted": predicted, "squared_error": (predicted - targets) ** 2}
    if outputs.shape[1] == 3:
        low, high = outputs[:, 1].astype(np.float64), outputs[:, 2].astype(np.float64)
        columns |= {"within": ((low <= targets) & (targets <= high)).astype(np.float64), "width": high - low}
    third = np.digitize(targets, np.quantile(targets, (1 / 3, 2 / 3)), right=True)
    return Scores(np.abs(predicted - targets), np.asarray(THIRDS)[third], columns)


def figures(split: Split, outputs: np.ndarray) -> Figures:
    """Predicted against true values, with their intervals where there are some, and what is left between the two."""
    from tasks import drawing  # as in tasks/classification.py

    targets = np.asarray(split.targets, np.float64)
    intervals = outputs[:, 1:] if outputs.shape[1] == 3 else None
    yield "predicted_against_true.png", drawing.predicted_against_true(targets, outputs[:, 0], intervals)
    yield "residuals.png", drawing.residuals(targets, outputs[:, 0])

"""How sure a model is of its labels, against how often it is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 15


def bins(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence against accuracy in equal-width bins of confidence.

    Args:
        confidence: Probability of the predicted class, shape (N,).
        correct: 1 where it is the right one, else 0, shape (N,).

    Returns:
        Mean confidence, accuracy and share of the examples in each bin, shape (BINS,); the first two are
        0 in an empty bin.
    """
    confidence = confidence.astype(np.float64)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    filled = np.maximum(count, 1)
    mean_confidence = np.bincount(bins, weights=confidence, minlength=BINS) / filled
    accuracy = np.bincount(bins, weights=correct, minlength=BINS) / filled
    return mean_confidence, accuracy, count / len(confidence)


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error in [0, 1] (Guo et al. 2017, section 2, 15 bins), of what `bins` takes."""
    mean_confidence, accuracy, share = bins(confidence, correct)
    return float(np.sum(share * np.abs(mean_confidence - accuracy)))


def diagram(models: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Accuracy against confidence by bin, above the share of the examples; a calibrated model is on the diagonal.

    Args:
        models: By name what `bins` takes; the title has the calibration error of the last one.
    """
    from matplotlib.figure import Figure  # half a second, which promotion and serving do without

    figure = Figure(figsize=(5.6, 6.0), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot((0, 1), (0, 1), color="grey", linestyle="--", label="calibrated")
    edges = np.linspace(0, 1, BINS + 1)
    error = 0.0
    for name, (confidence, correct) in models.items():
        mean_confidence, accuracy, share = bins(confidence, correct)
        filled = share > 0
        error = calibration_error(confidence, correct)
        (line,) = top.plot(mean_confidence[filled], accuracy[filled], marker="o", label=f"{name}, error {error:.4f}")
        bottom.stairs(share, edges, fill=True, alpha=1 / len(models), color=line.get_color())
    top.set(ylabel="accuracy", ylim=(0, 1.02), title=f"Reliability (expected calibration error {error:.4f})")
    top.legend()
    bottom.set(xlabel="confidence", ylabel="share", xlim=(0, 1), yscale="log")
    return figure

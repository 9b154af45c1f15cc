"""Figures that tasks share. Every function returns a Matplotlib figure that no global state knows of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

CAPTION = 0.34  # inches, above an image of a sheet
LONGEST_LEVEL = 3  # letters of a label below its column; longer ones would run into each other, and are slanted

RIGHT, FOUND, BOTH = (255, 170, 0), (0, 200, 255), (255, 255, 255)  # the colours of outlines
LEGEND = "outlines: right orange, found blue, both white"


def confusion(labels: Sequence[str], matrix: np.ndarray) -> Figure:
    """A confusion matrix (rows: right class); colour marks the mistakes only, which the diagonal would drown."""
    mistakes = matrix - np.diag(np.diag(matrix))
    figure = Figure(figsize=(6.6, 5.6), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(1, mistakes.max()))
    for row, column in np.argwhere(matrix):
        dark = mistakes[row, column] > 0.6 * mistakes.max()
        axes.text(column, row, matrix[row, column], ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(len(labels)), labels)
    if max(map(len, labels)) > LONGEST_LEVEL:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="right", title=f"{mistakes.sum():,} mistakes in {matrix.sum():,} examples")
    figure.colorbar(picture, label="mistakes")
    return figure


def recall_by_class(labels: Sequence[str], matrix: np.ndarray) -> Figure:
    """Share of each class that was recognised, worst first; classes without examples are left out."""
    count = matrix.sum(axis=1)
    present = np.flatnonzero(count)
    recall = np.diag(matrix)[present] / count[present]
    order = np.argsort(recall)
    figure = Figure(figsize=(6.6, 0.32 * len(present) + 1.2), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([labels[present[i]] for i in order], recall[order], color="tab:blue")
    axes.bar_label(bars, [f"{recall[i]:.2%} of {count[present[i]]:,}" for i in order], padding=3)
    axes.invert_yaxis()
    left = float(recall.min(initial=1.0)) - 0.05
    axes.set(xlim=(left, 1 + 0.3 * (1 - left)), xlabel="recall", title="Classes, worst first")
    axes.set_xticks([tick for tick in axes.get_xticks() if left <= tick <= 1])
    return figure


def predicted_against_true(targets: np.ndarray, predicted: np.ndarray, intervals: np.ndarray | None) -> Figure:
    """A point an example, on the diagonal where it is right; intervals (N, 2) are lines from end to end."""
    figure = Figure(figsize=(5.6, 5.6), layout="constrained")
    axes = figure.subplots()
    if intervals is not None:
        axes.vlines(targets, intervals[:, 0], intervals[:, 1], color="tab:blue", alpha=0.2, linewidth=1)
    axes.scatter(targets, predicted, s=12, color="tab:blue", alpha=0.6)
    ends = [min(targets.min(), predicted.min()), max(targets.max(), predicted.max())]
    axes.plot(ends, ends, color="grey", linestyle="--", label="right")
    error = float(np.abs(predicted - targets).mean())
    axes.set(xlabel="true", ylabel="predicted", title=f"Off by {error:.4g} on average")
    axes.legend()
    return figure


def residuals(targets: np.ndarray, predicted: np.ndarray) -> Figure:
    """Predicted minus true values: by what was predicted, and how often. A pattern there is something that the model
    has not learnt."""
    left = predicted - targets
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    by_value, often = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    by_value.axhline(0, color="grey", linestyle="--")
    by_value.scatter(predicted, left, s=12, color="tab:blue", alpha=0.6)
    title = f"On average {abs(left.mean()):.4g} too {'high' if left.mean() > 0 else 'low'}"
    by_value.set(xlabel="predicted", ylabel="predicted minus true", title=title)
    often.hist(left, bins=30, orientation="horizontal", color="tab:blue")
    often.set(xlabel="examples")
    return figure


def images(pictures: np.ndarray, captions: Sequence[str], title: str, columns: int = 6, inches: float = 1.7) -> Figure:
    """A sheet of images of shape (N, height, width[, channels]), so many inches wide each, with their captions; says so
    when there are none."""
    rows = max(1, -(-len(pictures) // columns))
    height = pictures.shape[1] / pictures.shape[2]
    figure = Figure(figsize=(inches * columns, (inches * height + CAPTION) * rows + 0.5), layout="constrained")
    figure.suptitle(title if len(pictures) else f"{title}: none")
    axes = figure.subplots()  # one for all: laying out one for each image takes most of the time
    axes.axis("off")
    gap = CAPTION / inches
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        top, left = (height + gap) * (index // columns), 1.1 * (index % columns)
        axes.imshow(picture, cmap="gray", extent=(left, left + 1, top + height, top))
        axes.text(left + 0.5, top - 0.04, caption, fontsize=7, ha="center", va="bottom")
    axes.set(xlim=(0, 1.1 * columns - 0.1), ylim=((height + gap) * rows - gap, -gap))
    return figure


def outlined(picture: np.ndarray, right: np.ndarray, found: np.ndarray) -> np.ndarray:
    """A copy of a picture (H, W, 3) uint8 with the lines (H, W) of what is right and of what was found, see LEGEND."""
    result = picture.copy()
    for where, colour in ((right, RIGHT), (found, FOUND), (right & found, BOTH)):
        result[where] = colour
    return result


def alike(pictures: Sequence[np.ndarray], gap: int = 0) -> np.ndarray:
    """Pictures (H, W, 3) uint8 as one array (N, H, W, 3): at their ends smaller ones are filled with white, and all of
    them get `gap` pixels of it."""
    height, width = (max(picture.shape[side] for picture in pictures) + gap for side in (0, 1))
    result = np.full((len(pictures), height, width, 3), 255, np.uint8)
    for place, picture in zip(result, pictures, strict=True):
        place[: picture.shape[0], : picture.shape[1]] = picture
    return result


def side_by_side(pictures: Mapping[str, np.ndarray]) -> Figure:
    """Pictures (H, W, 3) in a row, each under its name."""
    figure = Figure(figsize=(4.2 * len(pictures), 4.4), layout="constrained")
    for axes, (name, picture) in zip(
        figure.subplots(1, len(pictures), squeeze=False).flat, pictures.items(), strict=True
    ):
        axes.imshow(picture)
        axes.set_title(name)
        axes.axis("off")
    return figure

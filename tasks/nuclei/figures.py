"""What was found, over the pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks import drawing
from tasks.contract import Figures, Split
from tasks.nuclei.measures import scores
from tasks.segmentation import boundary

SHOWN = 12  # pictures of a sheet


def figures(split: Split, outputs: Any) -> Figures:
    """Outlines over pictures from all of the split and over those found worst, and the numbers of nuclei."""
    rows = scores(split, outputs)
    order = np.argsort(rows.score, kind="stable")
    spread = np.unique(np.linspace(0, len(split) - 1, min(SHOWN, len(split)), dtype=int))
    for name, words, shown in (("outlines.png", "Nuclei", spread), ("worst.png", "Worst", order[:SHOWN])):
        pictures = [outlined(split.inputs[row], split.targets[row], outputs[row].argmax(axis=-1)) for row in shown]
        captions = [f"{rows.slice[row]}, Dice {rows.score[row]:.3f}" for row in shown]
        title = f"{words}: {drawing.LEGEND}"
        yield name, drawing.images(drawing.alike(pictures), captions, title, columns=4, inches=3.4)
    yield "numbers.png", drawing.predicted_against_true(rows.columns["nuclei"], rows.columns["objects"], None)


def outlined(picture: np.ndarray, right: np.ndarray, found: np.ndarray) -> np.ndarray:
    """A picture (H, W) as (H, W, 3) uint8, with the outlines of both masks. It is brightened, since dim nuclei are
    nuclei as well: what is brighter than 99 % of it is white."""
    low, high = np.quantile(picture, (0.01, 0.99))
    grey = 200 * np.clip((picture - low) / max(high - low, 1e-6), 0, 1) ** 0.5
    result = np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)
    return drawing.outlined(result, boundary(right > 0), boundary(found > 0))

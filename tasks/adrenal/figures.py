"""Pictures of what was answered, and of the glands that were got most wrong."""

from __future__ import annotations

import numpy as np

from tasks import classification
from tasks.adrenal.data import LABELS
from tasks.contract import Figures, Split

SHOWN = 24


def figures(split: Split, outputs: np.ndarray) -> Figures:
    """As `tasks.classification.figures` has them, and the glands that were got most wrong, each in three planes."""
    from tasks import drawing

    yield from classification.figures(LABELS, split, outputs)
    predicted = outputs.argmax(axis=1)
    worst = np.argsort(-classification.cross_entropy(split.targets, outputs))[:SHOWN]
    worst = worst[predicted[worst] != split.targets[worst]]
    captions = [
        f"{place}: {LABELS[split.targets[place]]}, {outputs[place, split.targets[place]]:.0%}, "
        f"{np.count_nonzero(split.inputs[place])} voxels"
        for place in worst
    ]
    title = "Most wrong: place in the split, right class, its probability, size of the gland"
    yield "misclassified.png", drawing.images(planes(split.inputs[worst]), captions, title, columns=3, inches=3.4)


def planes(volumes: np.ndarray) -> np.ndarray:
    """Volumes (N, side, side, side) seen through along each axis, side by side (N, side, 3 · side): how much of the way
    lies inside, the last two axes across and down as in an array."""
    through = [volumes.mean(axis=axis) for axis in (1, 2, 3)]
    return np.concatenate([view / np.maximum(view.max(axis=(1, 2), keepdims=True), 1) for view in through], axis=2)

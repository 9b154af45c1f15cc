"""How well nuclei were found: their pixels, their outlines and the nuclei themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from forms.objects import parted
from tasks import segmentation
from tasks.contract import Scores, Split
from tasks.nuclei.data import CLASSES, kinds
from tasks.segmentation import boundary_f1, found_objects

TOLERANCE = 2.0  # pixels, by which an outline may be off


def scores(split: Split, outputs: Any) -> Scores:
    """One row a picture; the score is its Dice coefficient, the slice what it looks like.

    Args:
        split: Its targets are numbers of nuclei, (H, W) a picture.
        outputs: Probabilities, (H, W, 2) a picture.
    """
    found = [output.argmax(axis=-1) == 1 for output in outputs]
    objects = [parted(mask) for mask in found]
    targets = [np.minimum(target, 1) for target in split.targets]
    of_pixels = segmentation.scores(CLASSES, targets, outputs, kinds(split.inputs))
    pairs = list(zip(split.targets, found, objects, strict=True))
    own = {
        "boundary_f1": np.array([boundary_f1(target > 0, mask, TOLERANCE) for target, mask, _ in pairs]),
        "nuclei": np.array([number(target) for target in split.targets]),
        "objects": np.array([number(labels) for labels in objects]),
        "found_objects": np.array([found_objects(target, labels) for target, _, labels in pairs]),
    }
    return Scores(of_pixels.score, of_pixels.slice, {**of_pixels.columns, **own})


def number(labels: np.ndarray) -> int:
    """How many objects there are; of one that lies below others nothing may be left."""
    return int(np.count_nonzero(np.bincount(labels.ravel())[1:]))


def metrics(scores: Scores) -> dict[str, float]:
    """`dice` and `iou` (mean of the pictures'), `dice_of_set` (of the pixels of all pictures together), `loss` in nats,
    `boundary_f1` (outlines within 2 pixels, mean of the pictures'), and of the nuclei, which are found where the IoU
    with an object is above 0.5, `object_f1` (mean of the pictures') and `object_f1_of_set` (of all nuclei together)."""
    columns = scores.columns
    found, sides = columns["found_objects"], columns["nuclei"] + columns["objects"]
    return segmentation.metrics(CLASSES, scores) | {
        "boundary_f1": float(columns["boundary_f1"].mean()),
        "object_f1": float(np.where(sides == 0, 1.0, 2 * found / np.maximum(sides, 1)).mean()),
        "object_f1_of_set": float(2 * found.sum() / sides.sum()) if sides.sum() else 1.0,
    }

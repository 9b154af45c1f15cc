"""How well the hippocampus was found: its voxels, its surface and its volume."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks import segmentation
from tasks.contract import Scores, Split
from tasks.hippocampus.data import CLASSES, SPACING
from tasks.hippocampus.surfaces import hausdorff_95, surface_dice

STRUCTURES = CLASSES[1:]
TOLERANCE = 1.0  # mm, by which a surface may be off
SIZES = ("small", "middling", "large")
THIRDS = (3102.0, 3502.0)  # mm³, of both structures together: a third of the training volumes has less, a third more


def scores(split: Split, outputs: Any) -> Scores:
    """One row a volume; the score is the mean Dice coefficient of both structures, the slice how large they are.

    Args:
        split: Its targets are places in CLASSES, (right, front, up) a volume.
        outputs: Probabilities, (right, front, up, 3) a volume.
    """
    of_voxels = segmentation.scores(CLASSES, split.targets, outputs, sizes(split.targets))
    found = [output.argmax(axis=-1) for output in outputs]
    own: dict[str, np.ndarray] = {}
    for place, name in enumerate(STRUCTURES, start=1):
        pairs = [(target == place, one == place) for target, one in zip(split.targets, found, strict=True)]
        own[f"hd95_{name}"] = np.array([hausdorff_95(*pair, SPACING) for pair in pairs])
        own[f"surface_dice_{name}"] = np.array([surface_dice(*pair, SPACING, TOLERANCE) for pair in pairs])
    return Scores(of_voxels.score, of_voxels.slice, {**of_voxels.columns, **own})


def metrics(scores: Scores) -> dict[str, float]:
    """Means over the volumes. What `tasks.segmentation.metrics` has, and of each structure `hd95_<name>` in mm,
    `surface_dice_<name>` at 1 mm, and of its volume in mm³ `volume_bias_<name>`, how much too large it was found, and
    `volume_error_<name>`, how far off."""
    own: dict[str, float] = {}
    for name in STRUCTURES:
        off = volumes(scores, "found", name) - volumes(scores, "right", name)
        own |= {kind: float(scores.columns[kind].mean()) for kind in (f"hd95_{name}", f"surface_dice_{name}")}
        own |= {f"volume_bias_{name}": float(off.mean()), f"volume_error_{name}": float(np.abs(off).mean())}
    return segmentation.metrics(CLASSES, scores) | own


def volumes(scores: Scores, kind: str, name: str) -> np.ndarray:
    """In mm³, of a structure as it is ("right") or as it was found ("found"), (N,)."""
    return scores.columns[f"{kind}_{name}"] * float(np.prod(SPACING))


def sizes(targets: Any) -> np.ndarray:
    """Whether the hippocampus is small, middling or large, (N,) str: by the thirds of the training volumes."""
    counted = [np.count_nonzero(target) * float(np.prod(SPACING)) for target in targets]
    return np.array(SIZES)[np.searchsorted(THIRDS, counted)]

"""Measures of segmentation: of items of any rank and size, how well each class's places were found.

Targets are arrays (*sides) of places in the list of classes, the first of which is the background; outputs are arrays
(*sides, classes) of probabilities. A split's may be one array or, of items of different sizes, several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from tasks.contract import Scores

LEAST_IOU = 0.5  # an object is found where one of the objects found overlaps with it by more; so at most one can


@dataclass(frozen=True)
class Overlap:
    """How many places of each item are of each class, (N, classes) integers.

    Attributes:
        right: By the targets.
        found: By what was found.
        both: By both.
    """

    right: np.ndarray
    found: np.ndarray
    both: np.ndarray

    def dice(self) -> np.ndarray:
        """Twice what both have over what each has, in 0..1; 1 where neither has any (Dice 1945)."""
        return _share(2 * self.both, self.right + self.found)

    def iou(self) -> np.ndarray:
        """What both have over what either has, in 0..1; 1 where neither has any (Jaccard 1912)."""
        return _share(self.both, self.right + self.found - self.both)


def overlap(targets: Sequence[Any] | Any, found: Sequence[Any] | Any, classes: int) -> Overlap:
    """Of items, one by one.

    Args:
        targets: An array (*sides) an item, of integers from 0 to below `classes`.
        found: The same.
        classes: How many there are, the background among them.
    """
    rows = []
    for one, other in zip(targets, found, strict=True):
        pairs = np.bincount(np.ravel(one).astype(np.int64) * classes + np.ravel(other), minlength=classes**2)
        table = pairs.reshape(classes, classes)  # rows: right
        rows.append([table.sum(axis=1), table.sum(axis=0), table.diagonal()])
    return Overlap(*np.moveaxis(np.array(rows, np.int64).reshape(-1, 3, classes), 1, 0))


def cross_entropy(target: np.ndarray, output: np.ndarray) -> float:
    """-log of the probability given to the right class, the mean of all places of an item, in nats; probabilities are
    kept above 1e-7."""
    chosen = np.take_along_axis(output, target[..., None].astype(np.int64), axis=-1)
    return float(-np.log(np.clip(chosen, 1e-7, 1.0), dtype=np.float64).mean())


def boundary_f1(
    target: np.ndarray, found: np.ndarray, tolerance: float, spacing: float | Sequence[float] = 1.0
) -> float:
    """How well the outlines of two masks (*sides) fit: the harmonic mean of the share of found boundary places that lie
    within `tolerance` of a right one, and of the share of right ones that lie so near a found one (Csurka et al. 2013,
    section 3). 1 where neither mask has a boundary, 0 where one of them has none.

    Args:
        target: Of bool.
        found: Of bool.
        tolerance: The furthest that counts as on the boundary, in the unit of `spacing`.
        spacing: How far places are apart, along each side.
    """
    lines = boundary(target), boundary(found)
    if not all(line.any() for line in lines):
        return float(not any(line.any() for line in lines))
    shares = [
        np.mean(ndimage.distance_transform_edt(~other, sampling=spacing)[line] <= tolerance)
        for line, other in (lines, lines[::-1])
    ]
    return float(2 * shares[0] * shares[1] / sum(shares)) if sum(shares) else 0.0


def boundary(mask: np.ndarray) -> np.ndarray:
    """The places of a mask that have a place beside them, along one of the sides, that is not in it. What is cut off by
    the edge of the picture has no boundary there."""
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def found_objects(target: np.ndarray, found: np.ndarray) -> int:
    """How many objects were found.

    Args:
        target: (*sides), the number of an object at each of its places, 0 for the background.
        found: The same; the numbers need not be the same.
    """
    numbers = int(found.max(initial=0)) + 1
    pairs, both = np.unique(np.ravel(target).astype(np.int64) * numbers + np.ravel(found), return_counts=True)
    rights, others = np.divmod(pairs, numbers)
    either = np.bincount(target.ravel())[rights] + np.bincount(found.ravel())[others] - both
    return int(np.sum((rights > 0) & (others > 0) & (both > LEAST_IOU * either)))


def scores(classes: Sequence[str], targets: Any, outputs: Any, slices: np.ndarray) -> Scores:
    """One row an item; the score is its Dice coefficient, the mean of all classes but the background.

    Columns are `iou`, the same mean, `loss`, and of every such class `dice_<class>` and the numbers of its places:
    `right_<class>`, `found_<class>` and `both_<class>`.

    Args:
        classes: Names; the first is the background.
        targets: Of the items.
        outputs: Of the items.
        slices: The group each item belongs to, (N,) str.
    """
    counts = overlap(targets, [output.argmax(axis=-1) for output in outputs], len(classes))
    dice = counts.dice()
    columns = {
        "iou": counts.iou()[:, 1:].mean(axis=1),
        "loss": np.array([cross_entropy(*pair) for pair in zip(targets, outputs, strict=True)]),
    }
    for place, name in enumerate(classes[1:], start=1):
        columns |= {f"dice_{name}": dice[:, place]}
        columns |= {f"{kind}_{name}": getattr(counts, kind)[:, place] for kind in ("right", "found", "both")}
    return Scores(dice[:, 1:].mean(axis=1), slices, columns)


def metrics(classes: Sequence[str], scores: Scores) -> dict[str, float]:
    """`dice` and `iou` (means of the items'), `dice_of_set` (of all places of all items together) and `loss`; where
    there are several classes beside the background, also the `dice_<class>` of each."""
    names, columns = classes[1:], scores.columns
    totals = {name: [int(columns[f"{kind}_{name}"].sum()) for kind in ("right", "found", "both")] for name in names}
    of_set = [_share(np.array(2 * both), np.array(right + found)) for right, found, both in totals.values()]
    each = {f"dice_{name}": float(columns[f"dice_{name}"].mean()) for name in names} if len(names) > 1 else {}
    return {
        "dice": float(scores.score.mean()),
        "iou": float(columns["iou"].mean()),
        "dice_of_set": float(np.mean(of_set)),
        "loss": float(columns["loss"].mean()),
    } | each


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part` over `whole`, 1 where both are 0."""
    return np.where(whole == 0, 1.0, part / np.maximum(whole, 1))

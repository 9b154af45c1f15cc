"""What was found, over slices of the volumes, and how large it was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tasks import drawing
from tasks.contract import Figures, Scores, Split
from tasks.hippocampus.measures import STRUCTURES, scores, volumes
from tasks.segmentation import boundary

SHOWN = 10  # volumes of a sheet
ENLARGED = 4  # pixels of a voxel's side, so that outlines are thinner than a voxel
GAP = 4  # pixels between slices


def figures(split: Split, outputs: Any) -> Figures:
    """Slices of volumes that are spread evenly over the split, and of those found worst; how large both structures
    were found."""
    rows = scores(split, outputs)
    order = np.argsort(rows.score, kind="stable")
    spread = np.unique(np.linspace(0, len(split) - 1, min(SHOWN, len(split)), dtype=int))
    for name, title, shown in (("slices.png", "Hippocampi", spread), ("worst.png", "Worst", order[:SHOWN])):
        yield name, sheet(split, outputs, rows, shown, f"{title} from the right, from behind and from above")
    yield "volumes.png", bland_altman(rows)


def sheet(split: Split, outputs: Any, rows: Scores, shown: np.ndarray, title: str) -> Figure:
    """Of each volume shown a slice across each axis."""
    cases = [(split.inputs[row], split.targets[row], outputs[row].argmax(axis=-1)) for row in shown]
    planes = drawing.alike([plane(*case, axis) for case in cases for axis in range(3)], GAP)
    in_rows = np.concatenate(planes.reshape(len(cases), 3, *planes.shape[1:]).swapaxes(0, 1), axis=2)
    names = "/".join(STRUCTURES)
    dice = np.column_stack([rows.columns[f"dice_{name}"] for name in STRUCTURES])
    captions = [f"number {row}, Dice {' / '.join(f'{value:.3f}' for value in dice[row])}" for row in shown]
    return drawing.images(in_rows, captions, f"{title} ({names}); {drawing.LEGEND}", columns=2, inches=7.0)


def plane(volume: np.ndarray, right: np.ndarray, found: np.ndarray, axis: int) -> np.ndarray:
    """The slice across an axis in which most is wrong, or where nothing is, most of the structures, as a picture
    (H, W, 3) uint8: see upright."""
    wrong = right != found
    telling = wrong if wrong.any() else right > 0
    place = int(telling.sum(axis=tuple({0, 1, 2} - {axis})).argmax())
    values, *labels = (
        upright(np.take(one, place, axis), axis).repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
        for one in (volume, right, found)
    )
    low, high = np.quantile(volume, (0.01, 0.99))
    grey = 200 * np.clip((values - low) / max(float(high - low), np.finfo(np.float32).tiny), 0, 1)
    picture = np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)
    return drawing.outlined(picture, *(outlines(label) for label in labels))


def upright(plane: np.ndarray, axis: int) -> np.ndarray:
    """A slice across an axis as a picture, rows from the top: from the right and from behind, where up is up, and from
    above. The front, or what is right from behind, is on the right."""
    return plane if axis == 2 else plane.T[::-1]


def outlines(label: np.ndarray) -> np.ndarray:
    """Where the outline of any structure runs, of bool."""
    return np.any([boundary(label == place) for place in range(1, 1 + len(STRUCTURES))], axis=0)


def bland_altman(rows: Scores) -> Figure:
    """How far off each structure's volume is, by its size, with the limits of agreement (Bland & Altman 1986)."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(STRUCTURES), squeeze=False).flat, STRUCTURES, strict=True):
        right, found = (volumes(rows, kind, name) for kind in ("right", "found"))
        middle, low, high = limits(found - right)
        axes.scatter((right + found) / 2, found - right, s=14, color="tab:blue", alpha=0.7)
        axes.axhline(middle, color="grey")
        for limit in (low, high):
            axes.axhline(limit, color="grey", linestyle="--")
        title = f"{name}: off by {middle:.0f} mm³, 95 % from {low:.0f} to {high:.0f}"
        axes.set(xlabel="mean of right and found volume, mm³", ylabel="found minus right, mm³", title=title)
    return figure


def limits(off: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """The mean of differences, and the limits between which 95 % of them lie where they are normal."""
    middle, spread = float(np.mean(off)), 1.96 * float(np.std(off))
    return middle, middle - spread, middle + spread

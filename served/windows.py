"""A network that sees an item of any size: as a whole where it fits into a window, else window by window."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .session import Session

WHOLE, WINDOWS = "whole.onnx", "windows.onnx"  # files beside the graph
OVERLAP = 0.25  # of a window's side, at least, with the one beside it


class Windowed(Session):
    """A graph for items of which some sides may be any, and what an item larger than a window goes through instead:
    the graph of what has to see the whole of it, where there is one, then window by window that of all else.

    Args:
        path: Of the graph.
        side: Of a window.
    """

    def __init__(self, path: Path, side: int) -> None:
        self._side = side
        self._whole: Session | None = None
        self._windows: Session = self
        super().__init__(path)
        whole, windows = path.with_name(WHOLE), path.with_name(WINDOWS)
        if windows.exists():
            self._whole, self._windows = Session(whole), Session(windows)

    def run(self, batch: np.ndarray, hidden: bool = False) -> dict[str, np.ndarray]:
        sides = batch.shape[1 : 1 + self.shape.count(None)]
        if max(sides) <= self._side:
            return super().run(batch, hidden)
        if self._whole is not None:
            (batch,) = self._whole.run(batch).values()
        return self._blended(batch, sides)

    def _blended(self, batch: np.ndarray, sides: Sequence[int]) -> dict[str, np.ndarray]:
        """Each output as the mean over the windows that saw a place, in which those count less that saw it at their
        border, where they do not know what comes next."""
        totals: dict[str, np.ndarray] = {}
        weights = np.zeros(sides, np.float32)
        for corner in itertools.product(*(starts(side, self._side) for side in sides)):
            lengths = [min(self._side, side) for side in sides]
            place = tuple(slice(start, start + length) for start, length in zip(corner, lengths, strict=True))
            weight = ramp(lengths, self._side)
            weights[place] += weight
            found = self._windows.run(batch[:, *place])
            for name, values in zip(self.outputs, found.values(), strict=True):
                total = totals.setdefault(name, np.zeros((1, *sides, *values.shape[1 + len(sides) :]), np.float32))
                total[:, *place] += values * _spread(weight, values)
        return {name: total / _spread(weights, total) for name, total in totals.items()}


def starts(side: int, window: int) -> list[int]:
    """Where windows begin along a side, so that they cover it evenly, and each overlaps with the next by OVERLAP of
    itself or more."""
    if side <= window:
        return [0]
    step = window - math.ceil(OVERLAP * window)
    count = 1 + math.ceil((side - window) / step)
    return [round(place) for place in np.linspace(0, side - window, count).tolist()]


def ramp(sides: Sequence[int], window: int) -> np.ndarray:
    """How much each place of a window counts: less towards its borders, within OVERLAP of them; never nothing."""
    weight = np.ones((), np.float32)
    for side in sides:
        distance = np.minimum(np.arange(side), np.arange(side)[::-1]) + 1
        along = np.minimum(distance / math.ceil(OVERLAP * window), 1).astype(np.float32)
        weight = np.multiply.outer(weight, along)
    return weight


def _spread(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weights of places (...) in a shape that goes with values (1, ..., channels)."""
    return weights.reshape(*weights.shape, *[1] * (values.ndim - 1 - weights.ndim))

"""A network that sees an item of any size: as a whole where it fits into a window, else window by window."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .session import Session

WHOLE, WINDOWS = "whole.onnx", "windows.onnx"  # files beside the graph
MOST_EXACT = 2**26  # values of an output in float32; of a larger one in float16, which takes half of the memory
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
            self._whole, self._windows = Session(whole, keeps_memory=False), Session(windows)

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
        lengths = [min(self._side, side) for side in sides]
        firsts, *others = [starts(side, self._side) for side in sides]
        weight = ramp(lengths, self._side)
        blends: dict[str, Blend] = {}
        for first, following in itertools.pairwise([*firsts, sides[0]]):
            for corner in itertools.product([first], *others):
                places = [slice(start, start + length) for start, length in zip(corner, lengths, strict=True)]
                found = self._windows.run(batch[:, *places])
                for name, (values,) in zip(self.outputs, found.values(), strict=True):
                    blend = blends.setdefault(name, Blend(sides, lengths[0], values.shape[len(sides) :]))
                    blend.add(first, places[1:], values, weight)
            for blend in blends.values():
                blend.finish(first, following)
        return {name: blend.blended[None] for name, blend in blends.items()}


class Blend:
    """An output that is put together of what windows give. Weights and sums are kept for as many rows only as a window
    has: of a large volume, all of them would not fit into memory.

    Args:
        sides: Of the item.
        rows: Of a window.
        further: Sides of what is given for each place.

    Attributes:
        blended: What is finished, (*sides, *further).
    """

    def __init__(self, sides: Sequence[int], rows: int, further: tuple[int, ...]) -> None:
        kind = np.float16 if math.prod((*sides, *further)) > MOST_EXACT else np.float32
        self.blended = np.empty((*sides, *further), kind)
        self._total = np.zeros((rows, *sides[1:], *further), np.float32)
        self._weights = np.zeros((rows, *sides[1:], *(1 for _ in further)), np.float32)

    def add(self, first: int, places: list[slice], values: np.ndarray, weight: np.ndarray) -> None:
        """Takes the values (*window, *further) of a window whose first row is `first`, and where it lies otherwise."""
        spread = weight.reshape(*weight.shape, *(1 for _ in range(values.ndim - weight.ndim)))
        self._weights[:, *places] += spread
        self._total[:, *places] += values * spread

    def finish(self, first: int, following: int) -> None:
        """The next windows begin at row `following`: all before it is finished."""
        rows = min(following - first, len(self._total))
        for row in range(rows):
            self.blended[first + row] = self._total[row] / self._weights[row]
        for kept in (self._total, self._weights):
            kept[:-rows] = kept[rows:].copy()
            kept[-rows:] = 0


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

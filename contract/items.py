"""Examples that need not be one array in memory: they may be in files, or of different shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from contract.errors import UserError, one_line
from served.machine import cpus

Shape = tuple[int, ...]


class Items(ABC):
    """Items of one type that are made when they are asked for. It is used as an array is: `items[3]` is the fourth,
    `items[rows]` are several, of one shape, as an array (N, ...).

    Attributes:
        dtype: Of every item.
    """

    dtype: np.dtype

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def side(self, row: int) -> Shape:
        """The shape of one item, known without making it."""

    @abstractmethod
    def made(self, row: int) -> np.ndarray:
        """One item."""

    @abstractmethod
    def take(self, rows: np.ndarray) -> Self:
        """The items of these places, none of which is made by that."""

    @property
    def shape(self) -> tuple[int | None, ...]:
        """As an array's, with None for a side that differs between items."""
        sides = {self.side(row) for row in range(len(self))}
        if len({len(side) for side in sides}) > 1:
            raise ValueError(f"Expected items with the same number of sides, received {sorted(sides)[:5]}.")
        each_side = [set(lengths) for lengths in zip(*sides, strict=True)]
        return len(self), *(lengths.pop() if len(lengths) == 1 else None for lengths in each_side)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.made(row) for row in range(len(self)))

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, int | np.integer):
            return self.made(range(len(self))[int(rows)])
        places = np.arange(len(self))[rows].tolist()
        sides = {self.side(place) for place in places} or {self.side(0)}
        if len(sides) > 1:
            raise ValueError(f"Expected items of one shape, received {sorted(sides)}; see contract.batches.batches.")
        result = np.empty((len(places), *sides.pop()), self.dtype)

        def fill(index: int) -> None:
            result[index] = self.made(places[index])

        # Pillow and numpy leave Python to other threads while they decode.
        list(_threads().map(fill, range(len(places))))
        return result


class Ragged(Items):
    """Items in memory, of different shapes.

    Args:
        items: Arrays of one type and of as many sides.
    """

    def __init__(self, items: Sequence[np.ndarray]) -> None:
        self._items = list(items)
        types = {item.dtype for item in self._items}
        if len(types) != 1:
            raise ValueError(f"Expected items of one type, received {sorted(map(str, types))}.")
        self.dtype = types.pop()

    def __len__(self) -> int:
        return len(self._items)

    def side(self, row: int) -> Shape:
        return self._items[row].shape

    def made(self, row: int) -> np.ndarray:
        return self._items[row]

    def take(self, rows: np.ndarray) -> Ragged:
        return Ragged([self._items[row] for row in rows])


class Files(Items):
    """Items in files, each read when it is needed, by as many threads as there are CPUs: together they may be larger
    than the memory.

    Args:
        paths: A file an item.
        read: A file -> its item. A function of a module, and always of the same result for the same file.
        dtype: Of every item.
        shape: Of every item, or a list with one for each.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        read: Callable[[Path], np.ndarray],
        dtype: Any,
        shape: Shape | list[Shape],
    ) -> None:
        self.paths = list(paths)
        self.read = read
        self.dtype = np.dtype(dtype)
        self._sides = shape if isinstance(shape, list) else [shape] * len(self.paths)
        if len(self._sides) != len(self.paths):
            raise ValueError(f"Expected a shape for each of {len(self.paths)} files, received {len(self._sides)}.")

    def __len__(self) -> int:
        return len(self.paths)

    def side(self, row: int) -> Shape:
        return self._sides[row]

    def made(self, row: int) -> np.ndarray:
        """
        Raises:
            UserError: The file cannot be read, or is of another shape or type.
        """
        path = self.paths[row]
        try:
            item = np.asarray(self.read(path))
        except Exception as error:  # whatever a decoder has to say of a file that is damaged
            raise UserError(f"{path} cannot be read: {one_line(error) or type(error).__name__}.") from error
        if (item.shape, item.dtype) != (self.side(row), self.dtype):
            raise UserError(f"{path} is {item.shape} {item.dtype}, expected {self.side(row)} {self.dtype}.")
        return item

    def take(self, rows: np.ndarray) -> Files:
        places = np.asarray(rows).tolist()
        sides = [self._sides[place] for place in places]
        return Files([self.paths[place] for place in places], self.read, self.dtype, sides)


def taken(column: Any, rows: np.ndarray) -> Any:
    """The rows of an array or of items, of which none is made by that."""
    return column.take(rows) if isinstance(column, Items) else column[rows]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cpus(), thread_name_prefix="items")

"""What describes the inputs of a model, kept so that nobody can put an input together again.

A column holds one property of many inputs, in an order that no other column has, and is written only when there are
enough of them. An input that comes again and again is described once: how often a value stands in each column would
tell which of them belong together.
"""

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any

import numpy as np

logger = logging.getLogger("uvicorn.error")  # the scoring server shows it, and no other

# Gives for a batch (N, ...) what tells whether it is like others: numbers (N,) by name.
Features = Callable[[np.ndarray], dict[str, np.ndarray]]

LEAST_TOGETHER = 25  # of a column that is written: fewer could be told apart
EXACT = 9  # digits: a profile counts how many have the very same value
MOST_COLUMNS = 20  # in a line
MOST_KNOWN = 20_000  # inputs that are known again


class Held:
    """Values of one property that wait to be written, and the times of the earliest and the latest of them."""

    def __init__(self) -> None:
        self.values: list[np.ndarray] = []
        self.count = 0
        self.earliest, self.latest = math.inf, -math.inf

    def add(self, values: np.ndarray, times: list[float]) -> None:
        self.values.append(np.array(values, np.float32))  # a copy: a view would keep all of a batch in memory
        self.count += len(values)
        self.earliest, self.latest = min(self.earliest, *times), max(self.latest, *times)


class Known:
    """Knows inputs again, of which it keeps nothing but a keyed digest."""

    def __init__(self) -> None:
        self._key = os.urandom(16)
        self._digests: dict[bytes, None] = {}  # in the order in which they came

    def are_new(self, items: Iterable[np.ndarray]) -> list[bool]:
        """Whether each did not come before, among the last MOST_KNOWN different ones."""
        return [self._is_new(blake2b(item.tobytes(), digest_size=12, key=self._key).digest()) for item in items]

    def _is_new(self, digest: bytes) -> bool:
        if digest in self._digests:
            return False
        if len(self._digests) >= MOST_KNOWN:
            del self._digests[next(iter(self._digests))]
        self._digests[digest] = None
        return True


class Unlinked:
    """Properties of inputs that wait until there are enough of them.

    Args:
        features: Gives them for inputs; None where nothing is known of these.
    """

    def __init__(self, features: Features | None) -> None:
        self._features = features
        self._failed = False
        self._batches: dict[tuple[int, ...], tuple[list[np.ndarray], list[float]]] = {}  # by the shape of an input
        self._held: dict[str, Held] = {}

    def hold(self, columns: dict[str, np.ndarray], times: list[float]) -> None:
        """Takes properties (N,) by name, of inputs that came at these times."""
        for name, values in columns.items():
            self._held.setdefault(name, Held()).add(values, times)

    def hold_features(self, batch: np.ndarray, time: float) -> None:
        """Takes inputs (N, ...) themselves. Their properties are found for many at once."""
        if self._features is not None and len(batch):
            batches, times = self._batches.setdefault(batch.shape[1:], ([], []))
            batches.append(batch)
            times.append(time)

    def ready(self) -> Iterator[dict[str, Any]]:
        """The content of lines, with all columns of which there is enough."""
        self._describe()
        names = [name for name, held in self._held.items() if held.count >= LEAST_TOGETHER]
        for begin in range(0, len(names), MOST_COLUMNS):
            taken = {name: self._held.pop(name) for name in names[begin : begin + MOST_COLUMNS]}
            earliest = min(held.earliest for held in taken.values())
            latest = max(held.latest for held in taken.values())
            columns = {name: numbers(shuffled(np.concatenate(held.values)), EXACT) for name, held in taken.items()}
            yield {"time": [round(earliest, 3), round(latest, 3)], "features": columns}

    def _describe(self) -> None:
        """Finds the properties of the inputs at hand, and lets go of these."""
        together, self._batches = self._batches, {}
        for batches, times in together.values():
            self.hold(self._described(np.concatenate(batches)), times)

    def _described(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Empty where that fails, which is said once: the code is the version's own."""
        try:
            return self._features(batch) if self._features else {}
        except Exception:
            if not self._failed:
                logger.exception("The features of a batch of shape %s cannot be recorded.", batch.shape)
            self._failed = True
            return {}


def shuffled(values: np.ndarray) -> np.ndarray:
    """In an order that nobody can find out. The generator has a seed of its own: who knows the order of one column, as
    that of confidences, must not come to know that of another."""
    seed = int.from_bytes(os.urandom(16), "little")
    return np.random.default_rng(seed).permutation(values)


def numbers(values: np.ndarray, digits: int = 7) -> list[float | None]:
    """As JSON has them; None for what is no number. Nine digits tell every float32 from others."""
    wide = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    size = np.abs(wide)
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.where(size > 0, size, 1))))  # to whole numbers of so many digits
    return [value if value == value else None for value in (np.round(wide * scale) / scale).tolist()]

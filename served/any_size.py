"""Items that have sizes of their own: each is a batch."""

import math
from typing import Any, ClassVar

import numpy as np

from .micrograph_file import MOST_PIXELS, grey_values
from .refusal import Refused
from .values import Values, unpacked


class OfAnySize(Values):
    """Reads items of which some sides may be any: as values, or as files in base64.

    Attributes:
        most: Pixels or voxels of all items in a request; all of them are in memory at once.
        unit: What these are called.
        sides: Names of an item's sides, for people.
    """

    any_size = True
    most: ClassVar[int]
    unit: ClassVar[str] = "pixels"
    sides: ClassVar[str] = "height, width"

    @property
    def expected(self) -> str:
        return f"({', '.join([self.sides, *(str(side) for side in self.shape if side)])})"

    def checked(self, item: Any) -> np.ndarray:
        values = super().checked(item)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise Refused("range", "expected finite numbers only")
        return values

    def batches(self, items: Any) -> list[np.ndarray]:
        """A batch each."""
        batches, size = [], 0
        for item in items:
            one = self.checked(self.read(unpacked(item)) if isinstance(item, str) else item)
            size += self._size(one.shape)
            if size > self.most:
                raise Refused("shape", f"expected at most {self.most} {self.unit} in all")
            batches.append(one[None])
        return batches

    def check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != len(self.shape) or any(a not in (None, b) for a, b in zip(self.shape, shape, strict=True)):
            raise Refused("shape", f"expected an item of shape {self.expected}, received {shape}")
        if not 0 < self._size(shape) <= self.most:
            raise Refused("shape", f"expected 1 to {self.most} {self.unit}, received {self._size(shape)}")

    def read(self, data: bytes) -> np.ndarray:
        """The values in a file.

        Raises:
            Refused: It is none that can be taken.
        """
        raise NotImplementedError

    def _size(self, shape: tuple[int, ...]) -> int:
        """Of an item, in pixels or voxels."""
        return math.prod(side for known, side in zip(self.shape, shape, strict=True) if known is None)


class Micrographs(OfAnySize):
    """Reads grey pictures (height, width) float32 of any range of values."""

    most = MOST_PIXELS

    def read(self, data: bytes) -> np.ndarray:
        try:
            return grey_values(data)
        except ValueError as error:
            raise Refused("image", str(error)) from None

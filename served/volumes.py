"""Volumes, as values or as NIfTI files."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .any_size import OfAnySize
from .refusal import Refused
from .values import Shape, Values
from .volume_file import MOST_VOXELS, check_distinct, check_outline, check_values, header, volume
from .volume_header import THIN, VolumeError, counted


class Volumes(Values):
    """Reads volumes (right, front, up) of one shape.

    Args:
        shape: Of one item.
        dtype: Of one item.
        spacing: How far voxels of a file have to be apart, in mm; 0 where it plays no part. Only those of any size come
            as files.
        distinct: How many different values a volume has at least.
        outline: Whether one is 0 outside of something and has one number inside.
    """

    def __init__(
        self, shape: Shape, dtype: np.dtype, spacing: float = 0.0, distinct: int = 0, outline: bool = False
    ) -> None:
        super().__init__(shape, dtype)
        self._spacing = spacing
        self._distinct = distinct
        self._outline = outline

    @classmethod
    def of(cls, item: dict[str, Any], shape: Shape, dtype: np.dtype) -> Self:
        known = {name: item[name] for name in ("spacing", "distinct", "outline") if name in item}
        return cls(shape, dtype, **known)

    def batches(self, items: Any) -> list[np.ndarray]:
        batches = super().batches(items)
        for batch in batches:
            for one in batch:
                self.look_at(one)
        return batches

    def look_at(self, values: np.ndarray) -> None:
        """Refuses what shows nothing that the model knows, whether it came as numbers or as a file."""
        try:
            check_values(values)
            check_distinct(values, self._distinct)
            if self._outline:
                check_outline(values)
        except VolumeError as error:
            raise Refused(error.kind, str(error)) from None


class VolumesOfAnySize(OfAnySize, Volumes):
    """Reads volumes that keep their sides (right, front, up) float32."""

    most = MOST_VOXELS
    unit = f"voxels (a side of fewer than {THIN} counts as {THIN})"
    sides = "right, front, up"

    def read(self, data: bytes) -> np.ndarray:
        try:
            values = volume(data, header(data), self._spacing)
        except VolumeError as error:
            raise Refused(error.kind, str(error)) from None
        with np.errstate(over="ignore"):  # too large a number becomes infinite, which is refused
            return values.astype(self.dtype, copy=False)

    def checked(self, item: Any) -> np.ndarray:
        values = super().checked(item)
        self.look_at(values)
        return values

    def _size(self, shape: tuple[int, ...]) -> int:
        return counted(shape) if all(shape) else 0

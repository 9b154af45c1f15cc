"""A volume: a number for each voxel of a box, as a scanner or a person who outlines organs makes it."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from forms import volumes
from forms.corruption import Corrupted, of_volumes
from forms.item import Item, Shape, not_as_many
from forms.volumes import VolumeError

MOST_SEEN = 64  # voxels of a side, of what a person is shown
BOMB_SIDE = 220  # voxels; zeros, so that some kilobytes become ten megabytes


@dataclass(frozen=True)
class Volume(Item):
    """Items of one shape, whose three axes run to the right, to the front and up ("RAS+").

    How long a voxel is plays no part: an item has the voxels that the file has.

    Attributes:
        dtype: Of an item, "uint8" or "float32".
    """

    field: ClassVar[str] = "volume"
    noun: ClassVar[str] = "volume"
    files: ClassVar[str] = "A NIfTI file, .nii or .nii.gz, with as many voxels as an item has, its axes in any order."
    smaller: ClassVar[str] = "Save it with fewer voxels."

    dtype: str = "uint8"

    def file(self, data: bytes, shape: Shape) -> np.ndarray:
        """A NIfTI file as an item.

        Raises:
            VolumeError: It is none, has another shape, or values that an item cannot have.
        """
        head = volumes.header(data)
        if head.turned != tuple(shape):
            received = f"{self.size(head.turned)} voxels (to the right, to the front, up)"
            raise VolumeError(f"Expected a volume of {self.size(shape)}, received one of {received}.")
        values = volumes.voxels(data, head)
        if not np.isfinite(values).all():
            raise VolumeError("Some voxels are NaN or infinite. Expected a finite number for each.", "range")
        if values.min() == values.max():
            raise VolumeError(f"There is nothing to see in the volume: all voxels are {values.flat[0]:g}.", "range")
        return self._typed(values)

    def _typed(self, values: np.ndarray) -> np.ndarray:
        """Finite values in the item's type. Whole numbers that were scaled by a float are rounded back.

        Raises:
            VolumeError: The type has no such numbers.
        """
        dtype = np.dtype(self.dtype)
        limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
        rounded = np.rint(values) if dtype.kind in "iu" else values
        low, high = values.min(), values.max()
        if low < limits.min or high > limits.max or not np.allclose(rounded, values, rtol=0, atol=1e-3):
            kind = "whole numbers" if dtype.kind in "iu" else "numbers"
            expected = f"{kind} from {limits.min:g} to {limits.max:g}"
            raise VolumeError(f"Expected {expected} for voxels, received values from {low:g} to {high:g}.", "range")
        return np.ascontiguousarray(rounded, dtype)

    def work(self, data: bytes) -> int:
        return volumes.VOXEL_WORK * volumes.header(data).voxels

    def hostile(self, item: np.ndarray) -> Iterator[tuple[str, bytes]]:
        """A scoring server takes raw values, and has to refuse files."""
        yield from super().hostile(item)
        yield "NIfTI file", not_as_many(nifti(np.zeros((2, 2, 2), np.uint8)), item)
        yield "decompression bomb", not_as_many(gzip.compress(nifti(np.zeros([BOMB_SIDE] * 3, np.uint8))), item)

    def corrupted(self, inputs: np.ndarray, generator: np.random.Generator) -> Corrupted:
        if isinstance(inputs, np.ndarray):
            yield from of_volumes(inputs, generator)

    def seen(self, item: np.ndarray) -> dict[str, Any]:
        """The item as 256 shades from its least value to its largest; of a longer side every second voxel, or third."""
        shown = item[tuple(slice(None, None, -(-side // MOST_SEEN)) for side in item.shape)].astype(np.float64)
        low, high = shown.min(), shown.max()
        shades = np.rint(255 * (shown - low) / max(high - low, np.finfo(np.float32).tiny)).astype(np.uint8)
        return {"volume": {"shape": list(shades.shape), "shades": base64.b64encode(shades.tobytes()).decode()}}

    def seen_schema(self) -> dict[str, Any]:
        words = f"Of an uploaded volume: what the model saw, at most {MOST_SEEN} voxels of each side."
        shades = "A byte a voxel in C order, from 0 for the least value to 255 for the largest, in base64."
        sides = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 3, "maxItems": 3}
        properties = {"shape": sides, "shades": {"type": "string", "description": shades}}
        return {"volume": {"type": "object", "required": [*properties], "properties": properties, "description": words}}


FORM = Volume


def nifti(voxels: np.ndarray) -> bytes:
    """Voxels whose axes run to the right, to the front and up as a .nii file, with a length of 1 mm each."""
    from nibabel.nifti1 import Nifti1Image

    return Nifti1Image(voxels, np.eye(4)).to_bytes()

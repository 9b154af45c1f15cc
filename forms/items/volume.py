"""A volume: a number for each voxel of a box, as a scanner or a person who outlines organs makes it."""

from __future__ import annotations

import base64
import contextlib
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from forms.corruption import Corrupted, of_volumes
from forms.item import Item, ItemError, Shape, Way, not_as_many
from forms.volumes import shown, shown_schema, thinned
from served import volume_file
from served.volume_header import VolumeError

MOST_VOXELS = 2**24  # of a file that the gateway takes, as 256×256×256
MOST_BYTES = 70_000_000  # of such a file: so many voxels of 32 bits
SHOWN = (0.2, 99.8)  # percentiles of the values that are shown black and white
LARGE_SIDE = 128  # voxels
CORNER = 24  # voxels, of what is sent as numbers; a volume of any size has many
BOMB_SIDE = 220  # voxels; zeros, so that some kilobytes become ten megabytes


@dataclass(frozen=True)
class Volume(Item):
    """Items whose three axes run to the right, to the front and up ("RAS+").

    Attributes:
        dtype: Of an item, "uint8" or "float32".
        any_size: Whether items keep their sides; else all have the shape of the first.
        window: Of such items, how many voxels of a side the network sees at once, at most. What is larger goes through
            it window by window; but a layer named "whole", and all before it, sees the whole of an item. 0 for all.
        spacing: How far voxels have to be apart, in mm; 0 where it plays no part.
        distinct: How many different values an item has at least: a scan has dozens, a mask that is sent in
            its place has as many as it has classes.
        outline: Whether an item is an outline that somebody drew: 0 outside, one number inside, and less inside than
            outside.
    """

    field: ClassVar[str] = "volume"
    noun: ClassVar[str] = "volume"
    smaller: ClassVar[str] = "Save it with fewer voxels."

    dtype: str = "uint8"
    any_size: bool = False
    window: int = 0
    spacing: float = 0.0
    distinct: int = 0
    outline: bool = False

    @property
    def files(self) -> str:  # type: ignore[override]
        size = "of any size" if self.any_size else "with as many voxels as an item has"
        return f"A NIfTI file, .nii or .nii.gz, {size}, its axes in any order."

    @property
    def most_bytes(self) -> int:  # type: ignore[override]
        return MOST_BYTES if self.any_size else super().most_bytes

    @property
    def reader(self) -> str:  # type: ignore[override]
        return "volumes of any size" if self.any_size else "volumes"

    @property
    def packages(self) -> tuple[str, ...]:
        return ("nibabel",) if self.any_size else ()

    @property
    def ways_in_words(self) -> str:
        words = "as nested lists of numbers or as one base64 string, of a NIfTI file"
        return words if self.any_size else super().ways_in_words

    @property
    def body(self) -> str:
        return super().body.replace("item.bin", "volume.nii.gz") if self.any_size else super().body

    def shape(self, inputs: np.ndarray) -> Shape:
        return (None, None, None) if self.any_size else super().shape(inputs)

    def size(self, shape: Shape) -> str:
        return "right×front×up" if self.any_size else super().size(shape)

    def file(self, data: bytes, shape: Shape) -> np.ndarray:
        """A NIfTI file as an item.

        Raises:
            ItemError: It is none, has another shape, or values that an item cannot have.
        """
        with told():
            head = volume_file.header(data, MOST_VOXELS)
            if not self.any_size and head.turned != tuple(shape):
                received = f"{super().size(head.turned)} voxels (to the right, to the front, up)"
                raise ItemError(f"Expected a volume of {self.size(shape)}, received one of {received}.")
            if self.any_size:
                volume_file.check_thin(head, MOST_VOXELS)
            values = self._typed(volume_file.volume(data, head, self.spacing))
            if self.outline:
                volume_file.check_outline(values)
        return values

    def _typed(self, values: np.ndarray) -> np.ndarray:
        """Finite values in the item's type. Whole numbers that were scaled by a float are rounded back.

        Raises:
            ItemError: The type has no such numbers.
        """
        dtype = np.dtype(self.dtype)
        limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
        rounded = np.rint(values) if dtype.kind in "iu" else values
        low, high = values.min(), values.max()
        if low < limits.min or high > limits.max or not np.allclose(rounded, values, rtol=0, atol=1e-3):
            kind = "whole numbers" if dtype.kind in "iu" else "numbers"
            expected = f"{kind} from {limits.min:g} to {limits.max:g}"
            raise ItemError(f"Expected {expected} for voxels, received values from {low:g} to {high:g}.", "range")
        return np.ascontiguousarray(rounded, dtype)

    def work(self, data: bytes) -> int:
        with told():
            return volume_file.VOXEL_WORK * volume_file.header(data, MOST_VOXELS).voxels

    def ways(self, inputs: np.ndarray) -> Iterator[Way]:
        if not self.any_size:
            yield from super().ways(inputs)
            return
        corners = inputs[:, :CORNER, :CORNER, :CORNER]
        yield Way("numbers", corners, corners.tolist())
        files = [
            base64.b64encode(gzip.compress(nifti(one, self.spacing or 1.0), compresslevel=1)).decode() for one in inputs
        ]
        yield Way("files", inputs, files, as_files=True)

    def largest(self) -> str:
        """A scan of a head has twice as many voxels of a side, and is a matter of a minute."""
        if not self.any_size:
            return ""
        voxels = np.indices([LARGE_SIDE] * 3, np.uint8).sum(axis=0, dtype=np.uint8)
        return base64.b64encode(gzip.compress(nifti(voxels, self.spacing or 1.0), compresslevel=1)).decode()

    def hostile(self, item: np.ndarray) -> Iterator[tuple[str, bytes]]:
        """A scoring server that takes raw values has to refuse files."""
        if self.any_size:
            yield "no volume", b"seven"
            yield "cut off volume", nifti(np.zeros((9, 9, 9), np.uint8))[:400]
            yield "decompression bomb", gzip.compress(nifti(np.zeros([BOMB_SIDE] * 3, np.uint8))[:400] + bytes(2**24))
            if self.distinct > 1:
                yield "mask", nifti(np.pad(np.ones((5, 5, 5), np.uint8), 2), self.spacing or 1.0)
            return
        yield from super().hostile(item)
        if self.outline:
            yield "volume that shows nothing", np.zeros(item.shape, self.dtype).tobytes()
            yield "inverted outline", (item == 0).astype(self.dtype).tobytes()
        yield "NIfTI file", not_as_many(nifti(np.zeros((2, 2, 2), np.uint8)), item)
        yield "decompression bomb", not_as_many(gzip.compress(nifti(np.zeros([BOMB_SIDE] * 3, np.uint8))), item)

    def corrupted(self, inputs: np.ndarray, generator: np.random.Generator) -> Corrupted:
        if isinstance(inputs, np.ndarray):
            yield from of_volumes(inputs, generator)

    def seen(self, item: np.ndarray) -> dict[str, Any]:
        """The item as 256 shades. Of a scan a few voxels are often much lighter than all others."""
        values = thinned(item).astype(np.float64)
        low, high = np.percentile(values, SHOWN, method="nearest")
        if low == high:
            low, high = values.min(), values.max()
        shades = np.rint(255 * (values.clip(low, high) - low) / max(high - low, np.finfo(np.float32).tiny))
        return {"volume": shown(shades.astype(np.uint8))}

    def seen_schema(self) -> dict[str, Any]:
        words = "Of an uploaded volume: what the model saw, from 0 for the least values to 255 for the largest."
        return {"volume": shown_schema(words)}


FORM = Volume


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What is wrong with a file is for the person who sent it."""
    try:
        yield
    except VolumeError as error:
        raise ItemError(str(error), error.kind) from None


def nifti(voxels: np.ndarray, spacing: float = 1.0) -> bytes:
    """Voxels so many mm apart, whose axes run to the right, to the front and up, as a .nii file."""
    from nibabel.nifti1 import Nifti1Image

    return Nifti1Image(voxels, np.diag([spacing, spacing, spacing, 1])).to_bytes()

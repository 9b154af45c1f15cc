"""Volumes that the tests make, and NIfTI files of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Extension, Nifti1Image

# Each voxel has another value, so that every mistaken axis shows.
BOX = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
START = 352  # of the voxels in a file without extensions


def file(voxels: np.ndarray = BOX, affine: Any = None, kind: Any = Nifti1Image, **fields: Any) -> bytes:
    """A file of voxels as they are stored, with some fields of its header replaced."""
    image = kind(voxels, np.eye(4) if affine is None else affine)
    size = image.header.sizeof_hdr
    data: bytes = image.to_bytes()
    header = type(image.header)(data[:size], check=False)
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock) + data[size:]


def affine_of(axes: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    """Of a file whose stored axis i runs along the axis axes[i], in the direction signs[i], with voxels of 2 mm."""
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    for stored, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[axis, stored] = 2 * sign
    return affine


def stored_as(volume: np.ndarray, axes: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    """The voxels of such a file, of a volume whose axes run to the right, to the front and up."""
    turned = volume.transpose(axes)
    return np.flip(turned, tuple(stored for stored, sign in enumerate(signs) if sign < 0))


def with_extension(note: bytes) -> bytes:
    image = Nifti1Image(BOX, np.eye(4))
    image.header.extensions.append(Nifti1Extension("comment", note))
    return bytes(image.to_bytes())

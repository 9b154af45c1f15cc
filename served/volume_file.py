"""Volumes as people have them: NIfTI files in one piece, .nii or .nii.gz, in whatever direction their axes run.

NIfTI-1 is described at https://nifti.nimh.nih.gov/nifti-1, NIfTI-2 at https://nifti.nimh.nih.gov/nifti-2. nibabel knows
both; here a file is read no further than is needed, and never more of it than a bound.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .volume_header import (
    CUT_OFF,
    EXPECTED,
    EXTENDER_BYTES,
    HEADER_BYTES,
    THIN,
    TOO_THIN,
    Header,
    VolumeError,
    counted,
    parsed,
    unit_of,
)

if TYPE_CHECKING:  # only who reads a file needs it
    from nibabel.nifti1 import Nifti1Header

GZIP = b"\x1f\x8b"
PART = GZIP + b"\x08"  # what each part of a compressed file begins with; chance has it once in 16 MB
MOST_PARTS = 2**16  # each takes 4 µs, even one of 20 bytes with nothing in it; bgzip has one every 64 kB
FIRST_BYTES = 2**16  # of a file, that its header is looked for in
MOST_VOXELS = 2**27  # 512×512×512
VOXELS_AT_ONCE = 2**14  # that are looked at for different values; a scan has them among the first
MOST_SIDE = 2**15 - 1  # voxels, of a NIfTI-1 file
# Where voxels lie in space, besides pixdim.
PLACE_FIELDS = (
    *("sform_code", "srow_x", "srow_y", "srow_z"),
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
)
VOXEL_WORK = 30  # ns, to inflate, scale and turn one

EMPTY = f"The file is empty. {EXPECTED}"
MANY_PARTS = "The file is compressed in too many parts. Compress it anew."
DAMAGED = "The file is damaged. Save it anew."
NO_SPACING = "The header does not say how far voxels are apart (pixdim {found}). Set it, or convert the volume anew."
OTHER_SPACING = "Expected voxels of {expected} mm, received {found} mm. Resample the volume first."
A_MASK = "Expected a scan, received a volume with no more than {count} different values, like a mask. Send the scan."
FLAT = "Nearly all voxels are alike beside the largest value, {largest:.3g}. Remove fill values and offsets."
NO_OUTLINE = (
    "Expected an outline, 0 outside and one number inside, received {count} different values, from {low:g} to {high:g}."
)
INVERTED = (
    "Expected an outline, received one that fills {share:.0f} % of the volume, as if inside and outside were exchanged."
)
MOST_INSIDE = 0.5  # of an outline's volume
TWO_SPACINGS = (
    "The header contradicts itself: its sform says {sform} mm a voxel, its pixdim {pixdim}. Set one of them anew."
)
SPACING_TOLERANCE = 0.1
# Of the largest absolute value: what differs by less looks alike to a network beside it. In steps of this size the 260
# hippocampi of the Medical Segmentation Decathlon have 109 different values and more, as many as without.
ALIKE = 1e-4


def header(data: bytes, most: int = MOST_VOXELS) -> Header:
    """What a file says of its voxels. No voxel is read.

    Args:
        data: The file, or its beginning.
        most: Voxels that it may have.

    Raises:
        VolumeError: It is no such file, its voxels are no numbers, or they are more than anybody should read.
    """
    if not data:
        raise VolumeError(EMPTY, "encoding")
    with _reading(data[:FIRST_BYTES]) as file:
        start = file.read(max(HEADER_BYTES.values()))
    return parsed(start, most)


def volume(data: bytes, head: Header, spacing: float) -> np.ndarray:
    """As `voxels`, where they are so many mm apart (0 where that plays no part) and there is something to see.

    Raises:
        VolumeError: As `voxels`, `check_spacing` and `check_values`.
    """
    if spacing:
        check_spacing(head, spacing)
    values = voxels(data, head)
    check_values(values)
    return values


def voxels(data: bytes, head: Header) -> np.ndarray:
    """The voxels of a file whose header is known, as float32, or float64 where that cannot hold what is stored. Their
    axes run to the right, to the front and up: those that are stored are reordered and reversed, and nothing is
    interpolated.

    Raises:
        VolumeError: The file is cut off or damaged.
    """
    from nibabel.orientations import apply_orientation

    size = head.start + head.voxels * head.dtype.itemsize
    with _reading(data) as file:
        read = file.read(size)
        file.read(1)  # at the end of a compressed file, whether it is whole is found out
    if len(read) < size:
        raise VolumeError(CUT_OFF, "encoding")
    stored = np.frombuffer(read, head.dtype, offset=head.start).reshape(head.shape, order="F")
    wide = np.result_type(head.dtype, np.float32)
    turned = np.ascontiguousarray(apply_orientation(stored, head.axes), wide)
    if (head.slope, head.intercept) == (1, 0):
        return turned
    with np.errstate(over="ignore", invalid="ignore"):  # infinite values are for the caller to find
        return np.add(np.multiply(turned, wide.type(head.slope), out=turned), wide.type(head.intercept), out=turned)


def check_values(values: np.ndarray) -> None:
    """Sees to it that there is something to see.

    Raises:
        VolumeError: Some voxels are no finite numbers, or all are the same.
    """
    low, high = values.min(), values.max()  # NaN, where one is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise VolumeError("Some voxels are NaN or infinite. Expected a finite number for each.", "range")
    if low == high:
        raise VolumeError(f"There is nothing to see in the volume: all voxels are {low:g}.", "range")


def check_thin(head: Header, most: int) -> None:
    """Sees to it that a network has no more than so many voxels to look at.

    Raises:
        VolumeError: It has.
    """
    if counted(head.shape) > most:
        size = "×".join(map(str, head.shape))
        raise VolumeError(TOO_THIN.format(size=size, thin=THIN, most=most // 10**6))


def check_distinct(values: np.ndarray, least: int) -> None:
    """Sees to it that voxels have so many different values.

    Raises:
        VolumeError: They have not.
    """
    count = _different(values, 0, least)
    if count < least:
        raise VolumeError(A_MASK.format(count=count), "range")
    largest = max(-float(values.min()), float(values.max())) if least else 0.0
    if _different(values, ALIKE * largest, least) < least:
        raise VolumeError(FLAT.format(largest=largest), "range")


def _different(values: np.ndarray, step: float, enough: int) -> int:
    """How many different values voxels have, in steps of that size, or with 0 to the bit. It may be fewer than they
    are, but not where these are not enough."""
    flat, found = values.reshape(-1), np.empty(0)
    for start in range(0, flat.size, VOXELS_AT_ONCE):
        if len(found) >= enough:
            break
        some = flat[start : start + VOXELS_AT_ONCE].astype(np.float64)
        found = np.union1d(found, np.rint(some / step) if step else some)
    return len(found)


def check_outline(values: np.ndarray) -> None:
    """Sees to it that voxels, which are not all the same, are 0 outside of something and have one number inside.

    Raises:
        VolumeError: They have not, or most are inside.
    """
    inside = values[values != 0]
    if inside.size == values.size or inside.min() != inside.max():
        different = np.unique(values)
        low, high = different[0], different[-1]
        raise VolumeError(NO_OUTLINE.format(count=len(different), low=low, high=high), "range")
    share = inside.size / values.size
    if share > MOST_INSIDE:
        raise VolumeError(INVERTED.format(share=100 * share), "range")


def check_spacing(head: Header, expected: float) -> None:
    """Sees to it that voxels are so far apart, in mm, along every axis, to a tenth of it.

    Raises:
        VolumeError: They are not, or the header does not say, or says it in two ways.
    """
    found = _sides(head.spacing)
    if not all(math.isfinite(length) and length > 0 for length in head.spacing):
        raise VolumeError(NO_SPACING.format(found=found))
    if head.sform_spacing and not _alike(head.sform_spacing, head.spacing):
        raise VolumeError(TWO_SPACINGS.format(sform=_sides(head.sform_spacing), pixdim=found))
    if not _alike(head.spacing, (expected,) * 3):
        raise VolumeError(OTHER_SPACING.format(expected=_sides((expected,) * 3), found=found))


def _alike(lengths: tuple[float, ...], expected: tuple[float, ...]) -> bool:
    pairs = zip(lengths, expected, strict=True)
    return all(abs(length - other) <= SPACING_TOLERANCE * other for length, other in pairs)


def _sides(lengths: tuple[float, ...]) -> str:
    """For people."""
    return "×".join(f"{length:.3g}" for length in lengths)


def nifti_like(head: Header | None, places: np.ndarray) -> bytes:
    """Whole numbers a voxel as a .nii.gz file whose voxels lie as those of another file do: in its order of axes and
    directions, as far apart, at the same place in space.

    Args:
        head: Of that file; None where there is none: voxels of 1 mm then, whose axes run to the right, to the front
            and up.
        places: uint8, whose axes run to the right, to the front and up.
    """
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header
    from nibabel.orientations import apply_orientation

    if head is None:
        fields = (Nifti2Header if max(places.shape) > MOST_SIDE else Nifti1Header)()
        fields.set_sform(np.eye(4), code="aligned")
        fields.set_xyzt_units("mm")
    else:
        fields = _place_of(head)
        back = np.empty((3, 2))
        for stored, (axis, direction) in enumerate(head.axes.astype(int)):
            back[axis] = stored, direction
        places = apply_orientation(places, back)
    fields.set_data_dtype(np.uint8)
    fields.set_data_shape(places.shape)
    start = fields.sizeof_hdr + EXTENDER_BYTES
    fields["vox_offset"], fields["scl_slope"], fields["scl_inter"] = start, 1, 0
    file = fields.binaryblock + bytes(EXTENDER_BYTES) + places.tobytes(order="F")
    return gzip.compress(file, compresslevel=1)


def _place_of(head: Header) -> Nifti1Header:
    """A header of the same kind that says as much of where voxels lie, to the bit, and nothing else: whatever more a
    file says is of its own voxels, may name a person, or may be what nibabel does not write."""
    fields = type(head.fields)()
    for name in PLACE_FIELDS:
        fields[name] = head.fields[name]
    fields["pixdim"][:4] = head.fields["pixdim"][:4]
    fields["xyzt_units"] = unit_of(head.fields)
    return fields


@contextlib.contextmanager
def _reading(data: bytes) -> Iterator[io.BufferedIOBase]:
    """The file without its compression, of which no more is inflated than is read."""
    if data.startswith(GZIP) and data.count(PART) > MOST_PARTS:
        raise VolumeError(MANY_PARTS, "encoding")
    try:
        with gzip.open(io.BytesIO(data)) if data.startswith(GZIP) else io.BytesIO(data) as file:
            yield file
    except EOFError:
        raise VolumeError(CUT_OFF, "encoding") from None
    except (OSError, zlib.error):
        raise VolumeError(DAMAGED, "encoding") from None

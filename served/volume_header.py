"""What the header of a NIfTI file says, as far as it can be made out.

Fields are checked here and not by nibabel, which lets some pass that make no sense, and fails on others only once they
are written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # only who reads a file needs it
    from nibabel.nifti1 import Nifti1Header

HEADER_BYTES = {"NIfTI-1": 348, "NIfTI-2": 540}
EXTENDER_BYTES = 4  # between the header and the voxels at least; it says whether extensions follow
MOST_BYTES_BEFORE = 2**24  # the header and its extensions
# A network pads a side to as many voxels or a multiple of them, so thinner volumes take as long as ones of this size.
THIN = 8
UNITS = {1: 1000.0, 2: 1.0, 3: 0.001}  # mm of metres, millimetres and microns, by the lowest bits of xyzt_units
UNIT_BITS = 7
NO_NUMBERS = {  # by the number of the data type (NIfTI-1, "datatype")
    1: "single bits",
    32: "complex numbers",
    128: "colours",
    1536: "numbers of 128 bits",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "colours",
}

EXPECTED = "Expected a NIfTI file, .nii or .nii.gz."
UNKNOWN = f"This is not a NIfTI file. {EXPECTED} Convert DICOM and other formats first."
PAIR = "This is the header of a pair of files, .hdr and .img, without its voxels. Convert both to one .nii file."
ANALYZE = "This is Analyze 7.5, which does not tell left from right. Convert it to NIfTI, and look at the result."
CUT_OFF = "The file is cut off: a part of the volume is missing."
HEADER_DAMAGED = "The header of the volume is damaged: its {field} makes no sense. Save it anew."
NOT_NUMBERS = "Expected a number for each voxel, received {kind}."
NOT_ONE = "Expected one volume, received {count} ({size} voxels). Send one of them."
TOO_MANY = "The volume has too many voxels, {size}. Allowed are {most} million."
TOO_THIN = (
    "The volume takes too long, {size} voxels: a side of fewer than {thin} counts as {thin}, and then {most} million "
    "are allowed. Crop it, or send it in parts."
)
LONG_HEADER = f"The header has extensions of more than {MOST_BYTES_BEFORE // 2**20} MB. Save the volume without them."
NO_AXES = "The header does not say in which directions the axes run: its {field} has none. Set it anew."


class VolumeError(ValueError):
    """The volume cannot be used.

    Args:
        message: A sentence for the person who sent it.
        kind: What it counts as in the metrics, one of refusal.KINDS.
    """

    def __init__(self, message: str, kind: str = "shape") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Header:
    """What a file says of its voxels.

    Attributes:
        shape: The three sides, as they are stored.
        dtype: Of a stored voxel.
        start: Bytes before the first voxel.
        slope, intercept: What makes a stored number the voxel's value: slope · number + intercept.
        axes: For each stored axis which one it is, 0 to the right, 1 to the front, 2 up, and 1 or -1 for its
            direction, (3, 2).
        spacing: How far voxels are apart along each stored axis, in mm; not finite, or 0, where it is not said.
        sform_spacing: What its sform says of that; empty where it has none.
        fields: All that it says.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    slope: float
    intercept: float
    axes: np.ndarray
    spacing: tuple[float, ...]
    sform_spacing: tuple[float, ...]
    fields: Nifti1Header

    @property
    def turned(self) -> tuple[int, ...]:
        """The sides once the axes run to the right, to the front and up."""
        return tuple(self.shape[place] for place in np.argsort(self.axes[:, 0]))

    @property
    def voxels(self) -> int:
        return math.prod(self.shape)


def parsed(start: bytes, most: int) -> Header:
    """What a file says of its voxels, by its first bytes.

    Args:
        start: As many as the longest header has, or all where there are fewer.
        most: Voxels that it may have.

    Raises:
        VolumeError: It is no such file, its voxels are no numbers, or they are more than that.
    """
    found = _fields(start)
    shape = _shape(found, most)
    dtype = _dtype(found)
    offset = _offset(found)
    slope, intercept = _scaling(found)
    axes = _axes(found)
    return Header(shape, dtype, offset, slope, intercept, axes, _spacing(found), _sform_spacing(found), found)


def _fields(start: bytes) -> Nifti1Header:
    """All that a header has."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    known = sizes & set(HEADER_BYTES.values())
    if not known:
        raise VolumeError(UNKNOWN, "encoding")
    (size,) = known
    if len(start) < size:
        raise VolumeError(CUT_OFF, "encoding")
    is_second = size == HEADER_BYTES["NIfTI-2"]
    magic = start[4:7] if is_second else start[344:347]
    if magic in (b"ni1", b"ni2"):
        raise VolumeError(PAIR, "encoding")
    if magic == bytes(3) and not is_second:
        raise VolumeError(ANALYZE, "encoding")
    if magic != (b"n+2" if is_second else b"n+1"):
        raise VolumeError(HEADER_DAMAGED.format(field="magic"), "encoding")
    return (Nifti2Header if is_second else Nifti1Header)(start[:size], check=False)


def _shape(found: Nifti1Header, most: int) -> tuple[int, ...]:
    """The three sides. Further ones have to be 1, as those of a series of one."""
    sides = [int(side) for side in found["dim"]]
    if not 1 <= sides[0] <= 7 or min(sides[1 : 1 + sides[0]]) < 1:
        raise VolumeError(HEADER_DAMAGED.format(field="dim"), "encoding")
    shape, times = tuple(sides[1 : 1 + min(3, sides[0])]), math.prod(sides[4 : 1 + sides[0]])
    size = "×".join(map(str, shape))
    if len(shape) < 3:
        raise VolumeError(f"Expected a volume with three sides, received one of {size} voxels.")
    if times > 1:
        raise VolumeError(NOT_ONE.format(count=times, size=size))
    if math.prod(shape) > most:
        raise VolumeError(TOO_MANY.format(size=size, most=most // 10**6))
    return shape


def _dtype(found: Nifti1Header) -> np.dtype:
    """Of a stored voxel, which is a whole number or a float of at most eight bytes."""
    number = int(found["datatype"])
    try:
        dtype = found.get_data_dtype()
    except KeyError:
        dtype = np.dtype("V")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        kind = NO_NUMBERS.get(number, f"data of the unknown type {number}")
        raise VolumeError(NOT_NUMBERS.format(kind=kind), "type")
    return dtype


def _offset(found: Nifti1Header) -> int:
    """Bytes before the first voxel. Some write 0 and mean that it follows the header."""
    offset, least = float(found["vox_offset"]), found.sizeof_hdr + EXTENDER_BYTES
    if not (offset == 0 or offset >= least):  # NaN, too; fewer would be in the header
        raise VolumeError(HEADER_DAMAGED.format(field="vox_offset"), "encoding")
    if offset > MOST_BYTES_BEFORE:
        raise VolumeError(LONG_HEADER, "encoding")
    return max(int(offset), least)


def counted(sides: tuple[int, ...]) -> int:
    """Voxels that a network has to look at, of a volume of any size."""
    return math.prod(max(THIN, side) for side in sides)


def unit_of(found: Nifti1Header) -> int:
    """In what lengths are, a key of UNITS; 0 where the header says nothing that the standard knows."""
    unit = int(found["xyzt_units"]) & UNIT_BITS
    return unit if unit in UNITS else 0


def _spacing(found: Nifti1Header) -> tuple[float, ...]:
    """In mm, along the three stored axes. Where the unit is not said it is taken for mm (NIfTI-1, "xyzt_units")."""
    unit = UNITS.get(unit_of(found), 1.0)
    return tuple(abs(float(length)) * unit for length in found["pixdim"][1:4])


def _sform_spacing(found: Nifti1Header) -> tuple[float, ...]:
    """As `_spacing`, by the length of the sform's columns."""
    if not found["sform_code"] > 0:
        return ()
    unit = UNITS.get(unit_of(found), 1.0)
    columns = found.get_sform()[:3, :3].T.astype(np.float64).tolist()
    return tuple(math.hypot(*column) * unit for column in columns)


def _scaling(found: Nifti1Header) -> tuple[float, float]:
    """Slope and intercept. A slope of 0 means that there are none (NIfTI-1, "data scaling")."""
    slope, intercept = float(found["scl_slope"]), float(found["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(intercept):
        raise VolumeError(HEADER_DAMAGED.format(field="scl_inter"), "encoding")
    return slope, intercept


def _axes(found: Nifti1Header) -> np.ndarray:
    """Which axis runs where, see `Header.axes`: those closest to the directions that the sform has, or without one the
    qform. Where the header has neither they are taken as they are, since nothing is known of them.

    How long a voxel is plays no part, so it may be missing (0 or NaN).
    """
    from nibabel.orientations import io_orientation
    from nibabel.spatialimages import HeaderDataError

    field = "sform" if found["sform_code"] > 0 else "qform"
    if not found[f"{field}_code"] > 0:
        return np.array([[0, 1], [1, 1], [2, 1]])
    try:
        with np.errstate(all="ignore"):
            affine = found.get_sform() if field == "sform" else _qform(found)
            axes = io_orientation(affine)
    except (ValueError, np.linalg.LinAlgError, HeaderDataError):
        axes = np.full((3, 2), np.nan)
    if not np.isfinite(axes).all():
        raise VolumeError(NO_AXES.format(field=field), "encoding")
    return np.asarray(axes)


def _qform(found: Nifti1Header) -> Any:
    """The affine of the quaternion, for voxels of 1 mm. A qfac that is neither 1 nor -1 means 1 (NIfTI-1, "qform")."""
    found = found.copy()
    found["pixdim"][:4] = [-1 if found["pixdim"][0] == -1 else 1, 1, 1, 1]
    return found.get_qform()

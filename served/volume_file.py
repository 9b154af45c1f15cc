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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # only who reads a file needs it
    from nibabel.nifti1 import Nifti1Header

GZIP = b"\x1f\x8b"
HEADER_BYTES = {"NIfTI-1": 348, "NIfTI-2": 540}
FIRST_BYTES = 2**16  # of a file, that its header is looked for in
EXTENDER_BYTES = 4  # between the header and the voxels at least; it says whether extensions follow
MOST_VOXELS = 2**27  # 512×512×512
MOST_BYTES_BEFORE = 2**24  # the header and its extensions
VOXELS_AT_ONCE = 2**14  # that are looked at for different values; a scan has them among the first
VOXEL_WORK = 30  # ns, to inflate, scale and turn one

EXPECTED = "Expected a NIfTI file, .nii or .nii.gz."
EMPTY = f"The file is empty. {EXPECTED}"
UNKNOWN = f"This is not a NIfTI file. {EXPECTED} Convert DICOM and other formats first."
PAIR = "This is the header of a pair of files, .hdr and .img, without its voxels. Convert both to one .nii file."
ANALYZE = "This is Analyze 7.5, which does not tell left from right. Convert it to NIfTI, and look at the result."
CUT_OFF = "The file is cut off: a part of the volume is missing."
DAMAGED = "The file is damaged. Save it anew."
HEADER_DAMAGED = "The header of the volume is damaged: its {field} makes no sense. Save it anew."
NO_SPACING = "The header does not say how far voxels are apart (pixdim {found}). Set it, or convert the volume anew."
OTHER_SPACING = "Expected voxels of {expected} mm, received {found} mm. Resample the volume first."
NOT_NUMBERS = "Expected a number for each voxel, received {kind}."
NOT_ONE = "Expected one volume, received {count} ({size} voxels). Send one of them."
A_MASK = "Expected a scan, received a volume with no more than {count} different values, like a mask. Send the scan."
TOO_MANY = "The volume has too many voxels, {size}. Allowed are {most} million."
SPACING_TOLERANCE = 0.1
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
        fields: All that it says.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    slope: float
    intercept: float
    axes: np.ndarray
    spacing: tuple[float, ...]
    fields: Nifti1Header

    @property
    def turned(self) -> tuple[int, ...]:
        """The sides once the axes run to the right, to the front and up."""
        return tuple(self.shape[place] for place in np.argsort(self.axes[:, 0]))

    @property
    def voxels(self) -> int:
        return math.prod(self.shape)


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
    found = _parsed(start)
    shape = _shape(found, most)
    dtype = _dtype(found)
    offset = float(found["vox_offset"])
    if not offset >= 0:  # NaN, too
        raise VolumeError(HEADER_DAMAGED.format(field="vox_offset"), "encoding")
    if offset > MOST_BYTES_BEFORE:
        raise VolumeError(LONG_HEADER, "encoding")
    least = found.sizeof_hdr + EXTENDER_BYTES  # some write 0 and mean that
    scaling, axes = _scaling(found), _axes(found)
    return Header(shape, dtype, max(int(offset), least), *scaling, axes, _spacing(found), found)


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


def check_distinct(values: np.ndarray, least: int) -> None:
    """Sees to it that voxels have so many different values.

    Raises:
        VolumeError: They have not.
    """
    flat, found = values.reshape(-1), values[:0, 0, 0]
    for start in range(0, flat.size, VOXELS_AT_ONCE):
        if len(found) >= least:
            return
        found = np.union1d(found, flat[start : start + VOXELS_AT_ONCE])
    if len(found) < least:
        raise VolumeError(A_MASK.format(count=len(found)), "range")


def check_spacing(head: Header, expected: float) -> None:
    """Sees to it that voxels are so far apart, in mm, along every axis, to a tenth of it.

    Raises:
        VolumeError: They are not, or the header does not say.
    """
    found = "×".join(f"{length:.3g}" for length in head.spacing)
    if not all(math.isfinite(length) and length > 0 for length in head.spacing):
        raise VolumeError(NO_SPACING.format(found=found))
    if any(abs(length - expected) > SPACING_TOLERANCE * expected for length in head.spacing):
        raise VolumeError(OTHER_SPACING.format(expected=f"{expected:g}×{expected:g}×{expected:g}", found=found))


def nifti_like(head: Header | None, places: np.ndarray) -> bytes:
    """Whole numbers a voxel as a .nii.gz file whose voxels lie as those of another file do: in its order of axes and
    directions, as far apart, at the same place in space.

    Args:
        head: Of that file; None where there is none: voxels of 1 mm then, whose axes run to the right, to the front
            and up.
        places: uint8, whose axes run to the right, to the front and up.
    """
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Header, Nifti2Image
    from nibabel.orientations import apply_orientation

    if head is None:
        image = Nifti1Image(places, np.eye(4))
    else:
        back = np.empty((3, 2))
        for stored, (axis, direction) in enumerate(head.axes.astype(int)):
            back[axis] = stored, direction
        fields = head.fields.copy()
        fields["dim"][1:4], fields["dim"][0], fields["dim"][4:] = head.shape, 3, 1
        fields["cal_max"] = fields["cal_min"] = 0
        kind = Nifti2Image if isinstance(fields, Nifti2Header) else Nifti1Image
        image = kind(apply_orientation(places, back), None, fields)
        image.header.set_data_dtype(np.uint8)
    image.header["scl_slope"], image.header["scl_inter"] = 1, 0
    return gzip.compress(image.to_bytes(), compresslevel=1)


@contextlib.contextmanager
def _reading(data: bytes) -> Iterator[io.BufferedIOBase]:
    """The file without its compression, of which no more is inflated than is read."""
    try:
        with gzip.open(io.BytesIO(data)) if data.startswith(GZIP) else io.BytesIO(data) as file:
            yield file
    except EOFError:
        raise VolumeError(CUT_OFF, "encoding") from None
    except (OSError, zlib.error):
        raise VolumeError(DAMAGED, "encoding") from None


def _parsed(start: bytes) -> Nifti1Header:
    """A file's header, by its first bytes."""
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
    if magic not in (b"n+1", b"n+2"):
        raise VolumeError(UNKNOWN if is_second else ANALYZE, "encoding")
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
    try:
        dtype = found.get_data_dtype()
    except KeyError:
        raise VolumeError(HEADER_DAMAGED.format(field="datatype"), "encoding") from None
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        kinds = {"c": "complex numbers", "V": "colours or single bits"}
        raise VolumeError(NOT_NUMBERS.format(kind=kinds.get(dtype.kind, "numbers of 128 bits")), "type")
    return dtype


def _spacing(found: Nifti1Header) -> tuple[float, ...]:
    """In mm, along the three stored axes. Where the unit is not said it is taken for mm (NIfTI-1, "xyzt_units")."""
    unit = {"meter": 1000.0, "micron": 0.001}.get(found.get_xyzt_units()[0], 1.0)
    return tuple(abs(float(length)) * unit for length in found["pixdim"][1:4])


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

    if not (found["sform_code"] or found["qform_code"]):
        return np.array([[0, 1], [1, 1], [2, 1]])
    field = "sform" if found["sform_code"] else "qform"
    try:
        with np.errstate(all="ignore"):
            axes = io_orientation(found.get_sform() if field == "sform" else _qform(found))
    except (ValueError, np.linalg.LinAlgError):
        axes = np.full((3, 2), np.nan)
    if not np.isfinite(axes).all():
        raise VolumeError(NO_AXES.format(field=field), "encoding")
    return np.asarray(axes)


def _qform(found: Nifti1Header) -> Any:
    """The affine of the quaternion, for voxels of 1 mm. A qfac that is neither 1 nor -1 means 1 (NIfTI-1, "qform")."""
    found = found.copy()
    found["pixdim"][:4] = [-1 if found["pixdim"][0] == -1 else 1, 1, 1, 1]
    return found.get_qform()

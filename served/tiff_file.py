"""What a TIFF says of its pixels that Pillow leaves out, turns or mistakes: that it has more channels, how it lies, and
which numbers its bits are. The tags are those of TIFF 6.0, section 8."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from .picture_file import TURNS

BIG = (b"II+\0", b"MM\0+")  # with places of 64 bits
TIFF = (b"II*\0", b"MM\0*", *BIG)
PHOTOMETRIC, ORIENTATION, SAMPLES, SAMPLE_FORMAT = 262, 274, 277, 339
WHITE_IS_ZERO = 0  # a photometric interpretation, and what Pillow takes where there is none
SIGNED = 2  # a sample format
BACK = TURNS | {6: TURNS[8], 8: TURNS[6]}  # a quarter is turned back by the other quarter, all else by itself


def has_tags(tiff: bytes) -> bool:
    """Whether the list of its tags lies within the file. It does not where the file is cut before that list's end."""
    order = "<" if tiff.startswith(b"II") else ">"
    place, many, entry = ("Q", "Q", 20) if tiff.startswith(BIG) else ("I", "H", 12)
    try:
        (at,) = struct.unpack_from(order + place, tiff, struct.calcsize(place))
        (count,) = struct.unpack_from(order + many, tiff[at : at + 8])
    except struct.error:
        return False
    return at + count * entry <= len(tiff)


def unfit(image: TiffImageFile) -> str | None:
    """Why it cannot be used although Pillow reads it, None where it can."""
    if image.is_animated:  # how many there are takes long to count where they are thousands
        return "expected one picture, received a stack; send one plane of it"
    if (samples := image.tag_v2.get(SAMPLES, 1)) > len(image.getbands()):
        return f"expected a grey channel or three colours, received {samples} channels; send one of them"
    if image.mode == "F" and _white_is_zero(image):
        return "expected 0 to be black, received floats in a TIFF that says it is white; save it with 0 as black"
    return None


def as_stored(image: TiffImageFile) -> Image.Image:
    """The picture with its pixels decoded, in the rows in which they are stored: Pillow turns them as the orientation
    says, and this turns them back."""
    orientation = image.getexif().get(ORIENTATION)  # Pillow forgets it as it turns
    image.load()
    return image.transpose(BACK[orientation]) if orientation in BACK else image


def meant(values: np.ndarray, image: TiffImageFile) -> np.ndarray:
    """The grey values that Pillow read from the file as the numbers that the file says they are."""
    signed = image.tag_v2.get(SAMPLE_FORMAT, (1,))[0] == SIGNED
    if values.dtype == np.uint8 and signed:
        return values.view(np.int8)
    if values.dtype == np.int32 and not signed:
        return values.view(np.uint32)
    if values.dtype == np.uint16 and _white_is_zero(image):  # of eight bits and fewer Pillow does it
        return np.iinfo(np.uint16).max - values
    return values


def _white_is_zero(image: TiffImageFile) -> bool:
    return image.tag_v2.get(PHOTOMETRIC, WHITE_IS_ZERO) == WHITE_IS_ZERO

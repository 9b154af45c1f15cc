"""Grey pictures as microscopes make them: PNG, TIFF and JPEG files of 8 or 16 bits, or of floats."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from . import tiff_file
from .picture_file import JPEG, MOST_SCANS, PNG, SCAN, bare, ended
from .tiff_file import TIFF

MOST_PIXELS = 2**22  # 2048×2048, what the cameras of microscopes have
GREY = ("1", "L", "I", "F")  # of Pillow's modes, besides I;16 and its kin
COLOURED = ("P", "RGB", "RGBA", "LA", "PA")
KNOWN = "a PNG, TIFF or JPEG picture"
READ = "one channel of 8 or 16 bits, or of floats of 32 bits"


def grey_values(data: bytes) -> np.ndarray:
    """The file's values (height, width) float32, as they stand in it: 0 to 255, to 65,535, or any floats. They are not
    turned, whatever it says of how a camera was held. Colours become their luminance (ITU-R BT.601).

    Raises:
        ValueError: It is no such picture, or not one that can be used; the message says what was expected.
    """
    file = _without_notes(data)
    try:
        with _image(file) as image:
            _check(image)
            values = _values(image)
    except (_UnfitError, MemoryError):
        raise
    except Exception as error:  # of Pillow, which has no common class for what may be wrong with a file
        raise ValueError(_wrong(file, error)) from None
    if not np.isfinite(values).all():
        raise ValueError("expected finite values only, received NaN or infinity")
    return values


def pixels(data: bytes) -> int:
    """How many pixels a file says that it has; 0 where it is no such picture."""
    try:
        with _image(_without_notes(data)) as image:
            return image.width * image.height
    except Exception:  # of Pillow, as above
        return 0


class _UnfitError(ValueError):
    """The picture can be read, and not be used."""


def _without_notes(data: bytes) -> bytes:
    """The file without what its pixels do not need, as far as its kind is known to have such."""
    if data.startswith(TIFF):
        return data
    if not data.startswith((PNG, JPEG)):
        raise ValueError(f"expected {KNOWN}, received {'something else' if data else 'an empty file'}")
    file, _ = bare(data)
    if file.startswith(JPEG) and file.count(SCAN) > MOST_SCANS:
        raise ValueError(f"expected a JPEG of at most {MOST_SCANS} scans")
    return file


def _image(file: bytes) -> Image.Image:
    """The picture before its pixels are decoded."""
    return Image.open(io.BytesIO(file), formats=("PNG", "TIFF", "JPEG"))


def _wrong(file: bytes, error: Exception) -> str:
    """What is wrong with a file that cannot be read, as far as one can tell."""
    if not file.startswith(TIFF):
        return f"expected {KNOWN}, received one that is {'damaged' if ended(file) else 'cut off'}"
    if isinstance(error, UnidentifiedImageError) and tiff_file.has_tags(file):
        return f"received a TIFF of a kind that is not read here; save it as {READ}"
    return f"expected {KNOWN}, received one that is damaged"


def _check(image: Image.Image) -> None:
    """Refuses, before anything is decoded, what cannot be used: a small file can hold a huge picture."""
    if image.width * image.height > MOST_PIXELS:
        size = f"{image.width}×{image.height}"
        raise _UnfitError(f"expected at most {MOST_PIXELS:,} pixels, as 2048×2048, received {size}; send it in parts")
    if not image.mode.startswith("I;16") and image.mode not in (*GREY, *COLOURED):
        raise _UnfitError(f"expected a grey or RGB picture, received mode {image.mode}")
    if image.mode in COLOURED and ";16" in _layout(image):  # Pillow would drop the lower eight
        raise _UnfitError("expected grey or colours of 8 bits, received colours of 16 bits; save it as 16-bit grey")
    if isinstance(image, TiffImageFile) and (reason := tiff_file.unfit(image)):
        raise _UnfitError(reason)


def _layout(image: Image.Image) -> str:
    """How the pixels lie in the file, in Pillow's words, as RGB;16B."""
    words = image.tile[0].args  # type: ignore[attr-defined]
    return words if isinstance(words, str) else words[0]


def _values(image: Image.Image) -> np.ndarray:
    if isinstance(image, TiffImageFile):
        values = tiff_file.meant(np.asarray(_grey(tiff_file.as_stored(image))), image)
    else:
        values = np.asarray(_grey(image))
    # What has one bit a pixel has the values of a file of eight.
    return (values * np.float32(255) if values.dtype == bool else values).astype(np.float32)


def _grey(image: Image.Image) -> Image.Image:
    if image.has_transparency_data and not _opaque(image):  # many programs write an alpha channel that says nothing
        raise _UnfitError("expected a picture without transparency; save it without an alpha channel")
    if image.mode not in COLOURED:
        return image
    # Pillow warns of a palette with an alpha channel that becomes anything but RGBA.
    return (image.convert("RGBA").convert("RGB") if image.has_transparency_data else image).convert("L")


def _opaque(image: Image.Image) -> bool:
    if image.mode.startswith("I;16"):  # as RGBA it would have eight bits
        return bool((np.asarray(image) != image.info["transparency"]).all())
    return image.convert("RGBA").getchannel("A").getextrema() == (255, 255)

"""Grey pictures as microscopes make them: PNG, TIFF and JPEG files of 8 or 16 bits, or of floats."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from .picture_file import JPEG, MOST_SCANS, PNG, SCAN, bare, ended

MOST_PIXELS = 2**22  # 2048×2048, what the cameras of microscopes have
TIFF = (b"II*\0", b"MM\0*")
GREY = ("1", "L", "I", "F")  # of Pillow's modes, besides I;16 and its kin
COLOURED = ("P", "RGB", "RGBA", "LA", "PA")
KNOWN = "a PNG, TIFF or JPEG picture"


def grey_values(data: bytes) -> np.ndarray:
    """The file's values (height, width) float32, as they stand in it: 0 to 255, to 65,535, or any floats. Colours
    become their luminance (ITU-R BT.601).

    Raises:
        ValueError: It is no such picture, or not one that can be used; the message says what was expected.
    """
    file = _without_notes(data)
    try:
        with _image(file) as image:
            _check(image)
            image.load()
            values = _values(image)
    except _UnfitError:
        raise
    except MemoryError:
        raise
    except Exception:  # of Pillow, which has no common class for what may be wrong with a file
        cut = not file.startswith(TIFF) and not ended(file)
        raise ValueError(f"expected {KNOWN}, received one that is {'cut off' if cut else 'damaged'}") from None
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


def _check(image: Image.Image) -> None:
    """Refuses, before anything is decoded, what cannot be used: a small file can hold a huge picture."""
    if image.width * image.height > MOST_PIXELS:
        size = f"{image.width}×{image.height}"
        raise _UnfitError(f"expected at most {MOST_PIXELS:,} pixels, as 2048×2048, received {size}; send it in parts")
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise _UnfitError(f"expected one picture, received a stack of {frames}; send one plane of it")
    if not image.mode.startswith("I;16") and image.mode not in (*GREY, *COLOURED):
        raise _UnfitError(f"expected a grey or RGB picture, received mode {image.mode}")


def _values(image: Image.Image) -> np.ndarray:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):  # many programs write an alpha channel that says nothing
            raise _UnfitError("expected a picture without transparency; save it without an alpha channel")
        image = image.convert("RGB")
    if image.mode in COLOURED:
        image = image.convert("L")
    values = np.asarray(image)
    # What has one bit a pixel has the values of a file of eight.
    return (values * np.float32(255) if values.dtype == bool else values).astype(np.float32)

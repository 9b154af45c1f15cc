"""Pictures as people have them: PNG and JPEG files of any size, colour and origin."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image, ImageOps

# More than cameras and scanners make; known before anything is decoded. A JPEG need not be decoded at full size.
MOST_PIXELS = {"JPEG": 50_000_000, "PNG": 20_000_000}
Image.MAX_IMAGE_PIXELS = None  # Pillow's limit, of which it warns on standard error before it raises
EMPTY = "The file is empty. Expected a PNG or JPEG picture."


class PictureError(Exception):
    """The picture cannot be used; the message is for the person who sent it."""


def png(pixels: np.ndarray) -> str:
    """A picture (H, W) or (H, W, 3) uint8 as a PNG file, in base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)  # the next level takes twice as long
    return base64.b64encode(buffer.getvalue()).decode()


def opened(data: bytes, side: int) -> Image.Image:
    """The picture upright, as RGB on white where it is transparent.

    Args:
        data: A PNG or JPEG file.
        side: A JPEG that is much larger than that, in pixels, is scaled down while it is decoded, to no less.

    Raises:
        PictureError: It is no such file, or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as file:
            if file.width * file.height > MOST_PIXELS[file.format or ""]:
                limits = ", ".join(f"{most // 10**6} million of a {kind}" for kind, most in MOST_PIXELS.items())
                raise PictureError(f"The picture has too many pixels. Allowed are {limits}.")
            file.draft("RGB", (side, side))
            image = _upright(_eight_bits(file))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError):
        raise PictureError("This is not a PNG or JPEG picture that can be read." if data else EMPTY) from None


def _upright(image: Image.Image) -> Image.Image:
    """As the camera was held, where that can be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken note about the picture, of which Pillow raises whatever comes; the picture may be good
        return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow cuts off what 16 bits have above 255; here they are scaled."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image, float) / 257).astype(np.uint8))

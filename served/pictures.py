"""Items and answers that are pictures: as numbers, or as PNG and JPEG files in base64."""

import io
import math

import numpy as np
from PIL import Image

from .any_size import OfAnySize
from .features import Features, of_pictures
from .picture_file import JPEG, MOST_SCANS, PNG, SCAN, bare, ended, upright
from .refusal import Refused
from .values import Values

MOST_PIXELS = 2**20  # of the pictures of any size in a request; what running the model takes grows with them
SIGNATURES = (PNG, JPEG + b"\xff")


class Pictures(Values):
    """Reads pictures of one size, grey (height, width) or red, green and blue (height, width, 3)."""

    @property
    def expected_pixels(self) -> str:
        """The size of a picture, for people."""
        height, width = self.shape[:2]
        return f"{width}×{height} pixels"

    def features(self, batch: np.ndarray) -> Features:
        return of_pictures(batch)

    def decoded(self, data: bytes) -> bytes:
        if data.startswith(SIGNATURES):
            return self.raw(self.image(data))
        if len(data) != self.item_bytes:
            message = f"expected a PNG, a JPEG or {self.item_bytes} bytes of raw values, received {len(data)} bytes"
            raise Refused("encoding", message)
        return data

    def image(self, data: bytes) -> np.ndarray:
        """A PNG or JPEG file as pixels.

        Raises:
            Refused: It is none, or not of the item's size.
        """
        file = b""
        try:
            file, exif = bare(data)
            if file.startswith(JPEG) and file.count(SCAN) > MOST_SCANS:
                raise Refused("image", f"expected a JPEG of at most {MOST_SCANS} scans")
            with Image.open(io.BytesIO(file), formats=("PNG", "JPEG")) as image:
                self._check(image)
                turned = self._turned(image, exif)
                return np.asarray(turned.convert("L" if len(self.shape) == 2 else "RGB"))
        except Refused:
            raise
        except Image.DecompressionBombError:
            raise Refused("image", f"expected an image of {self.expected_pixels}, received one of many more") from None
        except Exception:  # of Pillow, which has no common class for what may be wrong with a file
            reason = "it is cut off" if file and not ended(file) else "it is damaged"
            raise Refused("image", f"cannot read the image, {reason}") from None

    def _check(self, image: Image.Image) -> None:
        """Refuses, before anything is decoded, what is no item: a small file can hold a huge image."""
        if not self._fits_pixels(image):
            size = "{}×{}".format(*image.size)
            raise Refused("image", f"expected an image of {self.expected_pixels}, received {size}")
        if image.mode not in ("1", "L", "P", "RGB") or image.has_transparency_data:
            message = f"expected a grey or RGB image of 8 bits without transparency, received mode {image.mode}"
            raise Refused("image", message)

    def _fits_pixels(self, image: Image.Image) -> bool:
        height, width = self.shape[:2]
        return image.size == (width, height)

    def _turned(self, image: Image.Image, exif: bytes) -> Image.Image:
        """What has the item's size is an item as it is, however the camera was held."""
        return image


class PicturesOfAnySize(OfAnySize, Pictures):
    """Reads pictures that keep height and width, red, green and blue (height, width, 3) uint8."""

    most = MOST_PIXELS

    @property
    def expected_pixels(self) -> str:
        return f"at most {MOST_PIXELS} pixels"

    def read(self, data: bytes) -> np.ndarray:
        if not data.startswith(SIGNATURES):
            raise Refused("encoding", "expected a string to be base64 of a PNG or JPEG file")
        return self.image(data)

    def _fits_pixels(self, image: Image.Image) -> bool:
        return math.prod(image.size) <= MOST_PIXELS

    def _turned(self, image: Image.Image, exif: bytes) -> Image.Image:
        return upright(image, exif)

"""Pictures as people have them: PNG and JPEG files of any size, colour and origin."""

from __future__ import annotations

import base64
import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from forms.corruption import Corrupted, of_pictures
from forms.item import Item, ItemError, Way, not_as_many
from served.picture_file import END, JPEG, MOST_PIECES, MOST_SCANS, PNG, SCAN, bare, ended, upright

# More than cameras and scanners make; known before anything is decoded. A JPEG need not be decoded at full size.
MOST_PIXELS = {"JPEG": 50_000_000, "PNG": 20_000_000}
BOMB_SIDE = 13_000  # pixels; many, and yet below what Pillow refuses by itself
MOST_WORK = 10**9  # see work(); about a second
PNG_WORK = 50  # of a pixel, which is inflated and unfiltered
Image.MAX_IMAGE_PIXELS = None  # Pillow's limit, of which it warns on standard error before it raises
EMPTY = "The file is empty. Expected a PNG or JPEG picture."
UNKNOWN = "This is not a PNG or JPEG picture that can be read."
CUT_OFF = "The file is cut off: a part of the picture is missing."
DAMAGED = "The picture is damaged, or of a rare kind that cannot be read. Expected a PNG or JPEG of 8 or 16 bits."
TOO_MUCH_WORK = "The picture takes too long to decode. Save it with fewer pixels, or as a JPEG that is not progressive."
TOO_MANY_PIECES = f"The file has more than {MOST_PIECES} pieces. Save the picture anew, without what is attached to it."
TOO_MUCH_MEMORY = "Decoding the picture takes too much memory. Save it with fewer pixels."

# Put behind a JPEG that has no end; where pixels are missing, it becomes pixels. Where they are missing libjpeg reads
# zeros, so this begins with something else.
FILLER = bytes(range(0xA5, 0xFF))


class PictureError(ItemError):
    """The picture cannot be used; the message is for the person who sent it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "image")


@dataclass(frozen=True)
class PictureItem(Item):
    """An item that a person has as a PNG or JPEG file."""

    reader = "pictures"
    field: ClassVar[str] = "image"
    noun: ClassVar[str] = "picture"
    files: ClassVar[str] = "A PNG or JPEG file of any size and colour."
    smaller: ClassVar[str] = "Save it with fewer pixels."
    unreadable: ClassVar[str] = "image"

    @property
    def ways_in_words(self) -> str:
        return "as nested lists of numbers or as one base64 string, of a PNG or JPEG file or of the raw values"

    @property
    def body(self) -> str:
        return r'''"{\"inputs\": [\"$(base64 < item.png | tr -d '\n')\"]}"'''

    def work(self, data: bytes) -> int:
        return work(data)

    def ways(self, inputs: np.ndarray) -> Iterator[Way]:
        yield from super().ways(inputs)
        yield Way("files", inputs, [png(one) for one in inputs])

    def hostile(self, item: np.ndarray) -> Iterator[tuple[str, bytes]]:
        yield from super().hostile(item)
        yield "broken image", not_as_many(black(28)[:40], item)
        yield "decompression bomb", black(BOMB_SIDE)

    def corrupted(self, inputs: np.ndarray, generator: np.random.Generator) -> Corrupted:
        if isinstance(inputs, np.ndarray):  # those of any size are lazy, and nobody asks how sure an answer is
            yield from of_pictures(inputs, vars(self)["white"], generator)

    def seen(self, item: np.ndarray) -> dict[str, Any]:
        return {"image": item.ravel().tolist()}

    def seen_schema(self) -> dict[str, Any]:
        value = {"type": "integer", "minimum": 0, "maximum": 255}
        words = "Of an uploaded picture: what the model saw."
        return {"image": {"type": "array", "items": value, "description": words}}

    def described(self) -> dict[str, Any]:
        return super().described() | {"picture": self.name, "white": vars(self)["white"]}


def png(pixels: np.ndarray) -> str:
    """A picture (H, W) or (H, W, 3) uint8 as a PNG file, in base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)  # the next level takes twice as long
    return base64.b64encode(buffer.getvalue()).decode()


def pixels(sent: str) -> np.ndarray:
    """A picture that came as a file, (H, W, 3) uint8.

    Raises:
        ValueError, OSError: It is none.
    """
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(sent))))


def work(data: bytes) -> int:
    """How long decoding a PNG or JPEG file will take, in pixels that a scan of a JPEG passes over, about 1 ns each.

    Raises:
        PictureError: It is no such file, or it would be too much.
    """
    file, _ = _bare(data)
    with _told(file), _image(file) as image:
        return _work(image, file)


def opened(data: bytes, side: int) -> Image.Image:
    """The picture upright, as RGB on white where it is transparent.

    Args:
        data: A PNG or JPEG file. Of one that holds several pictures, the first is taken.
        side: A JPEG that is much larger than that, in pixels, is scaled down while it is decoded, to no less.

    Raises:
        PictureError: It is no such file, damaged, or too large.
    """
    file, exif = _bare(data)
    with _told(file):
        image = _decoded(file, side) if ended(file) or file.startswith(PNG) else _decoded_without_end(file, side)
        return _on_white(upright(image, exif))


def _bare(data: bytes) -> tuple[bytes, bytes]:
    if not data.startswith((PNG, JPEG)):
        raise PictureError(UNKNOWN if data else EMPTY)
    try:
        return bare(data)
    except ValueError:
        raise PictureError(TOO_MANY_PIECES) from None


@contextlib.contextmanager
def _told(file: bytes) -> Iterator[None]:
    """Whatever Pillow raises becomes a line for the person who sent the file."""
    try:
        yield
    except PictureError:
        raise
    except MemoryError:
        raise PictureError(TOO_MUCH_MEMORY) from None
    except Exception:  # of Pillow, which has no common class for what may be wrong with a file
        raise PictureError(DAMAGED if ended(file) else CUT_OFF) from None


def _image(file: bytes) -> Image.Image:
    """The picture before its pixels are decoded."""
    return Image.open(io.BytesIO(file), formats=("PNG", "JPEG"))


def _work(image: Image.Image, file: bytes) -> int:
    pixels = image.width * image.height
    if pixels > MOST_PIXELS[image.format or ""]:
        limits = ", ".join(f"{most // 10**6} million of a {kind}" for kind, most in MOST_PIXELS.items())
        raise PictureError(f"The picture has too many pixels. Allowed are {limits}.")
    scans = file.count(SCAN) if image.format == "JPEG" else PNG_WORK
    if scans > MOST_SCANS or scans * pixels > MOST_WORK:
        raise PictureError(TOO_MUCH_WORK)
    return scans * pixels


def _decoded(file: bytes, side: int) -> Image.Image:
    with _image(file) as image:
        _work(image, file)
        image.draft("RGB", (side, side))
        return _eight_bits(image)


def _decoded_without_end(jpeg: bytes, side: int) -> Image.Image:
    """A JPEG of which at most the mark at its end is missing.

    Raises:
        PictureError: Pixels are missing, or may be: of a picture in several scans the last ones.
    """
    jpeg = jpeg.rstrip(b"\xff")  # half of that mark; within a picture a 0 would follow
    image = _decoded(jpeg + END, side)
    in_scans = "progressive" in image.info or jpeg.count(SCAN) > 1
    if in_scans or image.tobytes() != _decoded(jpeg + FILLER + END, side).tobytes():
        raise PictureError(CUT_OFF)
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow cuts off what 16 bits have above 255; here they are scaled."""
    if not image.mode.startswith("I"):
        image.load()
        return image
    return Image.fromarray((np.asarray(image, float) / 257).astype(np.uint8))


def black(side: int) -> bytes:
    """A black square as a PNG file (PNG specification, sections 5, 9.2 and 11.2), much smaller than its pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    compressor = zlib.compressobj(level=1)
    row = bytes(1 + side)  # the filter's number, then the pixels
    pixels = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
    return PNG + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    )

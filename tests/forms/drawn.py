"""Pictures that the tests make."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageDraw

from served.picture_file import END, SCAN


def file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def one(
    size: tuple[int, int] = (300, 400), ink: Any = "black", ground: Any = "white", mode: str = "RGB"
) -> Image.Image:
    """A vertical stroke right of the middle."""
    image = Image.new(mode, (300, 400), ground)
    ImageDraw.Draw(image).rectangle((200, 100, 230, 299), fill=ink)
    return image


def progressive(width: int, scans: int) -> bytes:
    """A JPEG whose last scan is repeated until there are so many."""
    data = file(Image.new("RGB", (width, width), "orange"), "JPEG", progressive=True, quality=10)
    last = data[data.rindex(b"\xff\xc4") : -2]
    return data[:-2] + last * (scans - data.count(SCAN)) + END

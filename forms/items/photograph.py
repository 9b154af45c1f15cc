"""A photograph: scaled, and cropped to the middle, or of any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from forms.item import Shape, Way
from forms.pictures import PictureItem, opened, png

FINENESS = 560  # pixels of a side, that a JPEG is decoded with at least; see forms.pictures.opened
LONGEST_SIDE = 640  # pixels, of a photograph that a model of any size gets; it takes a second or two
LARGEST_SIDE = 1024  # pixels, of what a scoring server takes
CORNER = 64  # pixels, of what is sent as numbers; a photograph has many


@dataclass(frozen=True)
class Photograph(PictureItem):
    """Items of shape (height, width) or (height, width, 3) uint8.

    Attributes:
        white: The largest value of an item.
        any_size: Whether items keep height and width, red, green and blue; else all have the shape of the first.
    """

    white: int = 255
    any_size: bool = False

    @property
    def reader(self) -> str:  # type: ignore[override]
        return "pictures of any size" if self.any_size else "pictures"

    @property
    def ways_in_words(self) -> str:
        words = super().ways_in_words
        return words.removesuffix(" or of the raw values") if self.any_size else words

    def shape(self, inputs: np.ndarray) -> Shape:
        return (None, None, 3) if self.any_size else inputs.shape[1:]

    def size(self, shape: Shape) -> str:
        return "height×width×3" if self.any_size else super().size(shape)

    def file(self, data: bytes, shape: Shape) -> np.ndarray:
        """A PNG or JPEG file as an item, in 0..white; of any size, up to LONGEST_SIDE.

        Raises:
            PictureError: It is no such file, or too large.
        """
        height, width = shape[:2]
        if height is None or width is None:
            image = opened(data, LONGEST_SIDE)
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
            return np.asarray(image)
        fitted = ImageOps.fit(opened(data, FINENESS), (width, height), Image.Resampling.LANCZOS)
        values = np.asarray(fitted.convert("L" if len(shape) == 2 else "RGB"), float)
        return np.rint(values * self.white / 255).astype(np.uint8)

    def ways(self, inputs: np.ndarray) -> Iterator[Way]:
        if not self.any_size:
            yield from super().ways(inputs)
            return
        corners = inputs[:, :CORNER, :CORNER]
        yield Way("numbers", corners, corners.tolist())
        yield Way("files", inputs, [png(one) for one in inputs], as_files=True)

    def largest(self) -> str:
        return png(np.zeros((LARGEST_SIDE, LARGEST_SIDE, 3), np.uint8)) if self.any_size else ""

    def seen(self, item: np.ndarray) -> dict[str, Any]:
        return {} if self.any_size else super().seen(item)

    def seen_schema(self) -> dict[str, Any]:
        return {} if self.any_size else super().seen_schema()

    def schema(self, shape: Shape, dtype: str) -> dict[str, Any]:
        if not self.any_size:
            return super().schema(shape, dtype)
        colour = {"type": "integer", "minimum": 0, "maximum": 255}
        pixel = {"type": "array", "minItems": 3, "maxItems": 3, "items": colour}
        row = {"type": "array", "minItems": 1, "items": pixel}
        words = "A picture's pixels: rows of red, green and blue."
        return {"type": "array", "minItems": 1, "items": row, "description": words}


FORM = Photograph

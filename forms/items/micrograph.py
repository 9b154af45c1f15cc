"""A micrograph: a grey picture of any size and range of values, as microscopes make them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from forms.item import Item, ItemError, Shape, Way
from forms.pictures import BOMB_SIDE, PNG_WORK, black, png
from served.micrograph_file import MOST_PIXELS, grey_values, pixels

CORNER = 64  # pixels, of what is sent as numbers; a micrograph has many
LARGEST_SIDE = 2048  # pixels, of what is taken
SHOWN_SIDE = 1024  # pixels, of what the page shows at most
SHOWN = (0.1, 99.9)  # percentiles of the values that are shown black and white


@dataclass(frozen=True)
class Micrograph(Item):
    """Items of shape (height, width) float32. The network has to take any range of values: 8 or 16 bits, or floats.

    Attributes:
        window: Pixels of a side that the network sees at once, at most. What is larger goes through it window by
            window; but a layer named "whole", and all before it, sees the whole of an item, e.g. to standardise it.
    """

    reader: ClassVar[str] = "micrographs"
    field: ClassVar[str] = "image"
    noun: ClassVar[str] = "picture"
    files: ClassVar[str] = "A grey PNG, TIFF or JPEG file of any size, of 8 or 16 bits or of floats."
    smaller: ClassVar[str] = "Send it in parts."
    unreadable: ClassVar[str] = "image"

    window: int = 512

    @property
    def ways_in_words(self) -> str:
        return "as nested lists of numbers or as one base64 string, of a PNG, TIFF or JPEG file"

    @property
    def body(self) -> str:
        return r'''"{\"inputs\": [\"$(base64 < item.tif | tr -d '\n')\"]}"'''

    def shape(self, inputs: np.ndarray) -> Shape:
        return (None, None)

    def size(self, shape: Shape) -> str:
        return "height×width"

    def file(self, data: bytes, shape: Shape) -> np.ndarray:
        """A PNG, TIFF or JPEG file as an item.

        Raises:
            ItemError: It is no such file, or too large.
        """
        try:
            return grey_values(data)
        except ValueError as error:
            words = str(error)
            raise ItemError(f"{words[0].upper()}{words[1:]}.", "image") from None

    def work(self, data: bytes) -> int:
        return PNG_WORK * min(pixels(data), MOST_PIXELS)

    @property
    def expected(self) -> str:
        return f'a JSON object with rows of numbers: {{"{self.field}": [[...], ...]}}'

    def ways(self, inputs: np.ndarray) -> Iterator[Way]:
        corners = inputs[:, :CORNER, :CORNER]
        yield Way("numbers", corners, corners.tolist())
        yield Way("files", inputs, [written(one) for one in inputs], as_files=True)

    def largest(self) -> str:
        return png(np.zeros((LARGEST_SIDE, LARGEST_SIDE), np.uint8))

    def hostile(self, item: np.ndarray) -> Iterator[tuple[str, bytes]]:
        yield "no picture", b"seven"
        yield "broken image", black(28)[:40]
        yield "decompression bomb", black(BOMB_SIDE)

    def seen(self, item: np.ndarray) -> dict[str, Any]:
        return {"seen": shown(item)}

    def seen_schema(self) -> dict[str, Any]:
        words = f"Of an uploaded picture: what the model saw, as a grey PNG of at most {SHOWN_SIDE} pixels a side."
        return {
            "seen": {
                "type": "string",
                "contentEncoding": "base64",
                "contentMediaType": "image/png",
                "description": words,
            }
        }

    def schema(self, shape: Shape, dtype: str) -> dict[str, Any]:
        row = {"type": "array", "minItems": 1, "items": {"type": "number"}}
        return {"type": "array", "minItems": 1, "items": row, "description": "A picture's grey values, row by row."}


def written(values: np.ndarray) -> str:
    """A picture (height, width) as a file in base64: a PNG where its values are whole numbers from 0 to 255, else a
    TIFF of floats."""
    eight = values.clip(0, 255).astype(np.uint8)
    if (eight == values).all():
        return png(eight)
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.float32)).save(buffer, "TIFF")
    return base64.b64encode(buffer.getvalue()).decode()


def shown(values: np.ndarray) -> str:
    """A picture (height, width) of any values as people can see it: a PNG file of 8 bits in base64."""
    black_at, white_at = np.percentile(values, SHOWN)
    light = (values - black_at) / max(white_at - black_at, 1e-12)
    image = Image.fromarray((255 * light.clip(0, 1)).astype(np.uint8))
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    return png(np.asarray(image))


FORM = Micrograph

"""A picture of the item's height and width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forms.answer import Answer
from forms.pictures import png

AGREEING = 8.0  # of 255, by which the values of two pictures that look the same may differ


@dataclass(frozen=True)
class Picture(Answer):
    """Outputs of shape (N, height, width, 3), red, green and blue in 0..255; served they are uint8."""

    writer = "pictures"
    golden_examples = 2  # a picture has many values

    def tolerance(self, served: np.ndarray) -> float:
        """Of whole numbers, one may be rounded up here and down there."""
        return 1.0

    def agrees(self, served: np.ndarray, other: np.ndarray) -> bool:
        """The pictures are of one size, and their values differ by AGREEING at most, in the mean."""
        if served.shape != other.shape:
            return False
        return float(np.abs(np.subtract(served, other, dtype=np.float32)).mean()) <= AGREEING

    def served(self, outputs: np.ndarray) -> np.ndarray:
        return np.rint(outputs).clip(0, 255).astype(np.uint8)

    def sent(self, served: np.ndarray, as_files: bool) -> list[Any]:
        return [png(one) for one in served] if as_files else super().sent(served, as_files)

    def reply(self, served: np.ndarray, file: bytes | None = None) -> dict[str, Any]:
        return {"picture": png(served)}

    def schema(self) -> dict[str, Any]:
        picture = {
            "type": "string",
            "contentEncoding": "base64",
            "contentMediaType": "image/png",
            "description": "The picture that was made, a PNG file.",
        }
        return {"type": "object", "required": ["picture"], "properties": {"picture": picture}}

    def likely(self, inputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(0, 256, inputs.shape, np.uint8)


FORM = Picture

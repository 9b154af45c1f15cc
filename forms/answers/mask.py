"""A mask: to which of some classes each pixel of a picture belongs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forms.answer import Answer, not_shares
from forms.pictures import png

AGREEING = 0.95  # the share of a mask's pixels on which two that say the same agree; at outlines any two differ


@dataclass(frozen=True)
class Mask(Answer):
    """Outputs of shape (N, height, width, classes) float32, which sum to 1 at every pixel.

    Attributes:
        classes: Their names, in the order of the outputs; the first is the background.
    """

    writer = "masks"
    golden_examples = 2  # a mask has many values

    classes: tuple[str, ...]

    def problem(self, outputs: np.ndarray) -> str:
        return not_shares(outputs)

    def agrees(self, served: np.ndarray, other: np.ndarray) -> bool:
        """The likeliest class is the same at AGREEING of the pixels or more."""
        if served.shape != other.shape:
            return False
        return bool(np.mean(served.argmax(axis=-1) == other.argmax(axis=-1)) >= AGREEING)

    def sent(self, served: Any, as_files: bool) -> list[Any]:
        return [png(likeliest(one)) for one in served] if as_files else super().sent(served, as_files)

    def difference(self, sent: np.ndarray, other: np.ndarray) -> float:
        """Of masks that were sent as files, the share of the pixels that are not of the same class: where two classes
        are as good as equally likely, each machine may round to another."""
        is_file = sent.ndim == 3
        return float(np.mean(sent != other)) if is_file else super().difference(sent, other)

    def reply(self, served: np.ndarray) -> dict[str, Any]:
        """The likeliest class of each pixel, by its place in `classes`, and each class's share of the picture."""
        classes = likeliest(served)
        return {"mask": png(classes), "shares": self._shares(classes)}

    def schema(self) -> dict[str, Any]:
        mask = {
            "type": "string",
            "contentEncoding": "base64",
            "contentMediaType": "image/png",
            "description": "A grey PNG file of the item's size, whose values are places in the model's `classes`.",
        }
        share = {"type": "number", "minimum": 0, "maximum": 1}
        shares = {"type": "object", "required": list(self.classes), "properties": dict.fromkeys(self.classes, share)}
        return {"type": "object", "required": ["mask", "shares"], "properties": {"mask": mask, "shares": shares}}

    def _shares(self, classes: np.ndarray) -> dict[str, float]:
        """Each class's share of all pixels, by its name."""
        counts = np.bincount(classes.ravel(), minlength=len(self.classes))
        return dict(zip(self.classes, (counts / classes.size).tolist(), strict=True))

    def perfect(self, targets: np.ndarray) -> np.ndarray:
        return np.eye(len(self.classes), dtype=np.float32)[targets]

    def likely(self, inputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return generator.dirichlet(np.ones(len(self.classes)), inputs.shape[:3]).astype(np.float32)


def likeliest(served: np.ndarray) -> np.ndarray:
    """The class of each pixel (height, width) uint8 by the probabilities (height, width, classes)."""
    return served.argmax(axis=-1).astype(np.uint8)


FORM = Mask

"""A mask: to which of some classes each pixel of a picture belongs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from forms.answer import Answer, not_shares
from forms.objects import parted
from forms.pictures import png
from served.classes import likeliest

AGREEING = 0.95  # the share of a mask's pixels on which two that say the same agree; at outlines any two differ


@dataclass(frozen=True)
class Mask(Answer):
    """Outputs of shape (N, height, width, classes) float32, which sum to 1 at every pixel.

    Attributes:
        classes: Their names, in the order of the outputs; the first is the background.
        objects: Whether targets number single objects, from 1, all of the one class beside the background. The answer
            then tells how many there are, see forms.objects.
    """

    writer: ClassVar[str] = "masks"
    rank: ClassVar[int] = 2  # sides of what is masked
    golden_examples = 2  # a mask has many values

    classes: tuple[str, ...]
    objects: bool = False

    def __post_init__(self) -> None:
        if self.objects and len(self.classes) != 2:
            raise ValueError(f"Expected a background and one class of objects, received {self.classes}.")

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
        is_file = sent.shape[-1:] != (len(self.classes),)
        return float(np.mean(sent != other)) if is_file else super().difference(sent, other)

    def reply(self, served: np.ndarray, file: bytes | None = None) -> dict[str, Any]:
        """The likeliest class of each pixel, by its place in `classes`, each class's share of the picture, and how many
        objects there are, where they are told apart."""
        classes = likeliest(served)
        counted = {"objects": int(parted(classes == 1).max(initial=0))} if self.objects else {}
        return {"mask": png(classes), "shares": self._shares(classes), **counted}

    def schema(self) -> dict[str, Any]:
        mask = {
            "type": "string",
            "contentEncoding": "base64",
            "contentMediaType": "image/png",
            "description": "A grey PNG file of the item's size, whose values are places in the model's `classes`.",
        }
        share = {"type": "number", "minimum": 0, "maximum": 1}
        shares = {"type": "object", "required": list(self.classes), "properties": dict.fromkeys(self.classes, share)}
        properties = {"mask": mask, "shares": shares}
        if self.objects:
            words = f"How many {self.classes[1]} there are: those that touch are parted by their shape."
            properties["objects"] = {"type": "integer", "minimum": 0, "description": words}
        return {"type": "object", "required": list(properties), "properties": properties}

    def _shares(self, classes: np.ndarray) -> dict[str, float]:
        """Each class's share of all pixels, by its name."""
        counts = np.bincount(classes.ravel(), minlength=len(self.classes))
        return dict(zip(self.classes, (counts / classes.size).tolist(), strict=True))

    def perfect(self, targets: Any) -> Any:
        if not isinstance(targets, np.ndarray):  # of items of different sizes
            return [self.perfect(one) for one in targets]
        classes = np.minimum(targets, 1) if self.objects else targets
        return np.eye(len(self.classes), dtype=np.float32)[classes]

    def likely(self, inputs: Any, generator: np.random.Generator) -> Any:
        if not isinstance(inputs, np.ndarray):
            return [self.likely(one[None], generator)[0] for one in inputs]
        places = inputs.shape[: 1 + self.rank]
        return generator.dirichlet(np.ones(len(self.classes)), places).astype(np.float32)


FORM = Mask

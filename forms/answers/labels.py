"""A probability of each of some labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forms.answer import Answer, not_shares


@dataclass(frozen=True)
class Labels(Answer):
    """Outputs of shape (N, labels) float32, which sum to 1.

    Attributes:
        labels: Their names, in the order of the outputs.
        ordered: Whether they have an order of their own, as digits have; else people see the likeliest first.
    """

    writer = "probabilities"

    labels: tuple[str, ...]
    ordered: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self.labels

    @property
    def params(self) -> dict[str, bool]:
        """`labels` asks for the index of the likeliest class in place of all probabilities."""
        return {"labels": False}

    @property
    def counted(self) -> dict[str, list[str]]:
        return {"": list(self.labels)}

    def problem(self, outputs: np.ndarray) -> str:
        return not_shares(outputs)

    def agrees(self, served: np.ndarray, other: np.ndarray) -> bool:
        """The likeliest label is the same."""
        return served.shape == other.shape and bool(served.argmax() == other.argmax())

    def reply(self, served: np.ndarray, file: bytes | None = None) -> dict[str, Any]:
        return {"prediction": int(served.argmax()), "probabilities": [served.tolist()]}

    def schema(self) -> dict[str, Any]:
        share = {"type": "number", "minimum": 0, "maximum": 1}
        probabilities = {"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "array", "items": share}}
        prediction = {"type": "integer", "minimum": 0, "description": "Index of the likeliest class."}
        return {
            "type": "object",
            "required": ["prediction", "probabilities"],
            "properties": {"prediction": prediction, "probabilities": probabilities},
        }

    def perfect(self, targets: np.ndarray) -> np.ndarray:
        return np.eye(len(self.labels), dtype=np.float32)[targets]

    def likely(self, inputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return generator.dirichlet(np.ones(len(self.labels)), len(inputs)).astype(np.float32)


FORM = Labels

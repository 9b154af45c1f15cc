"""A number, measured in some unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forms.answer import Answer, deciles


@dataclass(frozen=True)
class Number(Answer):
    """Outputs of shape (N, 1) float32.

    Attributes:
        unit: What it is measured in, empty where it is a count or a ratio.
    """

    unit: str = ""

    def tolerance(self, served: np.ndarray) -> float:
        """In proportion to the numbers: what float32 can tell apart grows with them."""
        return 1e-4 * max(1.0, float(np.abs(served).max()))

    def reply(self, served: np.ndarray) -> dict[str, Any]:
        return {"value": float(served[0]), "unit": self.unit}

    def schema(self) -> dict[str, Any]:
        properties = {"value": {"type": "number"}, "unit": {"type": "string"}}
        return {"type": "object", "required": ["value", "unit"], "properties": properties}

    def profile(self, served: np.ndarray) -> dict[str, Any]:
        return {"output_deciles": deciles(served[:, 0], 6)}

    def perfect(self, targets: np.ndarray) -> np.ndarray:
        return targets.reshape(-1, 1).astype(np.float32)

    def likely(self, inputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return generator.normal(size=(len(inputs), 1)).astype(np.float32)


FORM = Number

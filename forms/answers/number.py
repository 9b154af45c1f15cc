"""A number, measured in some unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forms.answer import Answer

AGREEING = 0.05  # of the larger of two numbers, by which two that say the same may differ


@dataclass(frozen=True)
class Number(Answer):
    """Outputs of shape (N, 1) float32, or with an interval (N, 3): the number, and the ends between which it lies.

    Attributes:
        unit: What it is measured in, empty where it is a count or a ratio.
        interval: The share of the right numbers that lie in their intervals, above 0 and below 1; None without one.
    """

    unit: str = ""
    interval: float | None = None

    def __post_init__(self) -> None:
        if self.interval is not None and not 0 < self.interval < 1:
            raise ValueError(f"Expected an interval above 0 and below 1, received {self.interval}.")

    @property
    def columns(self) -> tuple[str, ...]:
        return ("value", "low", "high")[: self._outputs]

    def tolerance(self, served: np.ndarray) -> float:
        """In proportion to the numbers: what float32 can tell apart grows with them."""
        return 1e-4 * max(1.0, float(np.abs(served).max()))

    def agrees(self, served: np.ndarray, other: np.ndarray) -> bool:
        """Each number lies in the other's interval; without one they differ by AGREEING of the larger at most."""
        if served.shape != other.shape:
            return False
        if self.interval is None:
            return abs(float(served[0]) - float(other[0])) <= AGREEING * float(np.abs([served[0], other[0]]).max())
        return all(bool(mine[1] <= its[0] <= mine[2]) for mine, its in ((served, other), (other, served)))

    def reply(self, served: np.ndarray, file: bytes | None = None) -> dict[str, Any]:
        reply: dict[str, Any] = {"value": float(served[0]), "unit": self.unit}
        if self.interval is None:
            return reply
        return reply | {"low": float(served[1]), "high": float(served[2]), "interval": self.interval}

    def schema(self) -> dict[str, Any]:
        number: dict[str, Any] = {"type": "number"}
        properties: dict[str, Any] = {"value": number, "unit": {"type": "string"}}
        if self.interval is not None:
            words = "The share of the right values that lie between low and high."
            properties |= {"low": number, "high": number, "interval": {"const": self.interval, "description": words}}
        return {"type": "object", "required": list(properties), "properties": properties}

    def perfect(self, targets: np.ndarray) -> np.ndarray:
        return np.repeat(targets.reshape(-1, 1).astype(np.float32), self._outputs, axis=1)

    def likely(self, inputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        low_value_high = np.sort(generator.normal(size=(len(inputs), self._outputs)).astype(np.float32), axis=1)
        return low_value_high if self.interval is None else low_value_high[:, [1, 0, 2]]

    @property
    def _outputs(self) -> int:
        return 1 if self.interval is None else 3


FORM = Number

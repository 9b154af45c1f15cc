"""The reference profile of a model: what its items and answers were like on the validation split, and how far its
confidence can be believed where others come. It is a file of the model, and is what served traffic is held against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monitoring.reference import Mix, Reference
from served.features import Hidden

VERSION = 1
FILE = "profile.json"


@dataclass(frozen=True)
class Window:
    """Examples that were served, or those of the validation split.

    Attributes:
        features: What served.features gives, by name, (n,) each. What one example had stands at no common place: it
            was recorded so that no example can be put together again.
        predicted: Places of the predicted labels (n,), by the name of the output, which is empty where there is one.
        confidences: Probabilities of these labels (n,), by the same names.
    """

    features: Mapping[str, np.ndarray]
    predicted: Mapping[str, np.ndarray]
    confidences: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Calibration:
    """How often a label that was given with some confidence was right.

    Attributes:
        confidences: Ascending.
        rights: The share of right answers at these confidences, which does not fall; between them it is interpolated.
        accuracy: On the validation split.
    """

    confidences: np.ndarray
    rights: np.ndarray
    accuracy: float

    def expected(self, confidences: np.ndarray) -> float:
        """The accuracy of answers with these confidences (n,), were confidence as good a sign of it as it was."""
        return float(np.interp(confidences, self.confidences, self.rights).mean())


@dataclass(frozen=True)
class Trial:
    """Validation examples that were made worse on purpose, and what became of the expected accuracy.

    Attributes:
        kind: How they were made worse; "not at all" of those that were left as they are.
        signature: How far the answers moved, see monitoring.estimate.
        error: Expected accuracy minus the true one.
    """

    kind: str
    signature: tuple[float, ...]
    error: float


@dataclass(frozen=True)
class Profile:
    """What is known of a model from its validation split.

    Attributes:
        examples: How many of the split were looked at.
        features: Each one's distribution.
        mixes: Of predicted labels, by the name of the output.
        confidences: The distribution of the confidence, by the name of the output.
        labels: The names of the labels, by the name of the output.
        calibrations: By the name of the output.
        trials: By the name of the output.
        hidden: What of the last hidden layer is watched; None where the graph does not give it.
        errors: Mean absolute errors, by the name of the output, of outputs that are numbers.
        repeats: Whether many examples are the same as others, like rows of a few categories.
    """

    examples: int
    features: Mapping[str, Reference]
    mixes: Mapping[str, Mix]
    confidences: Mapping[str, Reference]
    labels: Mapping[str, list[str]]
    calibrations: Mapping[str, Calibration]
    trials: Mapping[str, list[Trial]]
    hidden: Hidden | None = None
    errors: Mapping[str, float] = field(default_factory=dict)
    repeats: bool = False

    def to_json(self) -> str:
        return json.dumps(
            {
                "version": VERSION,
                "examples": self.examples,
                "features": {name: one.to_json() for name, one in self.features.items()},
                "outputs": {name: self._output(name) for name in self.labels},
                "errors": dict(self.errors),
                "repeats": self.repeats,
                "hidden": self.hidden and {name: _short(values) for name, values in vars(self.hidden).items()},
            }
        )

    def _output(self, name: str) -> dict[str, Any]:
        calibration, mix = self.calibrations[name], self.mixes[name]
        return {
            "labels": self.labels[name],
            "counts": mix.counts.tolist(),
            "variance": mix.variance,
            "confidence": self.confidences[name].to_json(),
            "accuracy": calibration.accuracy,
            "calibration": [calibration.confidences.round(6).tolist(), calibration.rights.round(6).tolist()],
            "trials": [
                [one.kind, [round(value, 4) for value in one.signature], one.error] for one in self.trials[name]
            ],
        }

    @classmethod
    def from_json(cls, text: str) -> Profile | None:
        """The profile in a model's file; None where that is of earlier or later code."""
        values = json.loads(text)
        if values.get("version") != VERSION:
            return None
        outputs = values["outputs"]
        return cls(
            examples=values["examples"],
            features={name: Reference.from_json(one) for name, one in values["features"].items()},
            mixes={name: Mix(np.array(one["counts"]), one["variance"]) for name, one in outputs.items()},
            confidences={name: Reference.from_json(one["confidence"]) for name, one in outputs.items()},
            labels={name: one["labels"] for name, one in outputs.items()},
            calibrations={
                name: Calibration(np.array(one["calibration"][0]), np.array(one["calibration"][1]), one["accuracy"])
                for name, one in outputs.items()
            },
            trials={
                name: [Trial(kind, tuple(signature), error) for kind, signature, error in one["trials"]]
                for name, one in outputs.items()
            },
            hidden=Hidden(**values["hidden"]) if values["hidden"] else None,
            errors=values.get("errors", {}),
            repeats=values.get("repeats", False),
        )


def _short(values: np.ndarray) -> list[Any]:
    """Lists with five digits a number, of which a hidden layer has many."""
    return [_short(one) for one in values] if values.ndim > 1 else [float(f"{one:.5g}") for one in values]

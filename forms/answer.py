"""What is common to the forms of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from forms import answers, form
from forms.outputs import Outputs
from forms.pictures import pixels

SHARES_TOLERANCE = 1e-2  # of what has to add up to 1, in whatever precision it was computed


@dataclass(frozen=True)
class Answer(form.Form):
    """The form of what a model answers.

    Outputs, of shape (N, ...), are what the graph gives. Served, they are what served/model.py gives; sent, what
    stands under "predictions" in a scoring server's reply. A model may give several, which are a dictionary then.
    """

    writer: ClassVar[str] = "numbers"  # what writes it in a scoring server, of served.model.WRITERS
    golden_examples: ClassVar[int] = 8  # in each golden request

    def metadata(self) -> dict[str, Any]:
        own = {"writer": self.writer, "counted": self.counted}
        return super().metadata() | own | ({"columns": list(self.columns)} if self.columns else {})

    @property
    def params(self) -> Mapping[str, bool]:
        """What says how the answer is given, with its default: who loads the model may ask for another way, as its
        `model_config`, and so may a request, as its `params`."""
        return {}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what an answer of shape (N, columns) consists of."""
        return ()

    @property
    def named(self) -> Mapping[str, Answer]:
        """The forms of each answer by name, where a model gives several."""
        return {}

    @property
    def counted(self) -> dict[str, list[str]]:
        """Names of what is counted: of the classes, in the order of the outputs, by the output's name, which is empty
        where there is one; nothing where outputs are no classes."""
        return {}

    def tolerance(self, served: Outputs) -> Any:
        """Largest absolute difference that counts as the same answer. Keras and ONNX Runtime add floats in different
        orders; the difference is some 1e-6 of a network's outputs."""
        return 1e-4

    def received(self, sent: str) -> np.ndarray:
        """An answer that came as a file in base64, (...).

        Raises:
            ValueError, OSError: It is none.
        """
        return pixels(sent)

    def difference(self, sent: np.ndarray, other: np.ndarray) -> float:
        """How far apart two models' answers to the same items are, as they were sent: by `tolerance` at most if the one
        is the other's copy."""
        return float(np.abs(sent - other).max())

    def agrees(self, served: Outputs, other: Outputs) -> bool:
        """Whether two models say the same about one item, as far as it matters to who asked; each answer (...) is one
        that was served. Two models are never as close as one and its copy, for which there is `tolerance`."""
        raise NotImplementedError

    def served(self, outputs: Outputs) -> Outputs:
        return outputs

    def problem(self, outputs: Outputs) -> str:
        """Why a model's outputs (N, ...), trained or not, cannot be such answers, in words; empty where they can."""
        return ""

    def sent(self, served: Outputs, as_files: bool) -> Any:
        return served.tolist()

    def reply(self, served: Outputs, file: bytes | None = None) -> dict[str, Any]:
        """What the gateway says to one item, of which `served` (...) is the answer.

        Args:
            served: The answer.
            file: What the item came as; None where it came as numbers.
        """
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """The JSON schema of `reply`."""
        raise NotImplementedError

    def perfect(self, targets: Outputs) -> Outputs:
        """Served outputs that are right, for targets (N, ...); None where no answer is the only right one."""
        return None

    def likely(self, inputs: np.ndarray, generator: np.random.Generator) -> Outputs:
        """Served outputs as a model might give them for inputs (N, ...), drawn at random."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """What the page and programs have to know of it."""
        values = {name: value for name, value in super().metadata().items() if name != "form"}
        return {"kind": self.name, "labels": []} | values


def read(metadata: Mapping[str, Any]) -> Answer:
    """The form that a model's metadata describe.

    Raises:
        UnknownFormError: This code does not know it.
    """
    result: Answer = form.read(answers, metadata)
    return result


def not_shares(outputs: np.ndarray) -> str:
    """Why outputs (..., classes) are no probabilities of classes of which one is right; empty where they are."""
    least, most, sums = outputs.min(), outputs.max(), outputs.sum(axis=-1)
    if least < -SHARES_TOLERANCE or np.abs(sums - 1).max() > SHARES_TOLERANCE:
        return (
            f"expected probabilities, from 0 to 1, that add up to 1; received values from {least:.3g} to {most:.3g} "
            f"that add up to {sums.min():.3g} to {sums.max():.3g}. End the model with a softmax"
        )
    return ""

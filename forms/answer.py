"""What is common to the forms of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from forms import answers, form


@dataclass(frozen=True)
class Answer(form.Form):
    """The form of what a model answers.

    Outputs, of shape (N, ...), are what the graph gives. Served, they are what served/model.py gives; sent, what
    stands under "predictions" in a scoring server's reply.
    """

    writer: ClassVar[str] = "numbers"  # what writes it in a scoring server, of served.model.WRITERS
    golden_examples: ClassVar[int] = 8  # in each golden request

    def metadata(self) -> dict[str, Any]:
        return super().metadata() | {"writer": self.writer}

    @property
    def counted(self) -> list[str]:
        """Names of what is counted: of the classes, in the order of the outputs; none where outputs are no classes."""
        return []

    def tolerance(self, served: np.ndarray) -> float:
        """Largest absolute difference that counts as the same answer. Keras and ONNX Runtime add floats in different
        orders; the difference is some 1e-6 of a network's outputs."""
        return 1e-4

    def served(self, outputs: np.ndarray) -> np.ndarray:
        return outputs

    def sent(self, served: np.ndarray, as_files: bool) -> list[Any]:
        result: list[Any] = served.tolist()
        return result

    def reply(self, served: np.ndarray) -> dict[str, Any]:
        """What the gateway says to one item, of which `served` (...) is the answer."""
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """The JSON schema of `reply`."""
        raise NotImplementedError

    def profile(self, served: np.ndarray) -> dict[str, Any]:
        """What the answers to the validation split looked like, to compare those to other items with."""
        return {}

    def perfect(self, targets: np.ndarray) -> np.ndarray | None:
        """Served outputs that are right, for targets (N, ...); None where no answer is the only right one."""
        return None

    def likely(self, inputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Served outputs as a model might give them for inputs (N, ...), drawn at random."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """What the page and programs have to know of it."""
        values = {name: value for name, value in self.metadata().items() if name != "form"}
        return {"kind": self.name, "labels": []} | values


def read(metadata: Mapping[str, Any]) -> Answer:
    """The form that a model's metadata describe.

    Raises:
        UnknownFormError: This code does not know it.
    """
    result: Answer = form.read(answers, metadata)
    return result


def deciles(values: np.ndarray, digits: int) -> list[float]:
    """Least, largest, and what lies between the tenths."""
    result: list[float] = np.quantile(values, np.linspace(0, 1, 11)).round(digits).tolist()
    return result

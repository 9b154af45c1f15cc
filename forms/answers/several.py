"""Several answers about one item, each under its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from forms.answer import Answer, read
from forms.outputs import Outputs, each


@dataclass(frozen=True)
class Several(Answer):
    """Outputs are a dictionary, as Keras makes it of a model with named outputs: `keras.Model(inputs, {"name": ...})`.

    Attributes:
        answers: The forms of its values, by the same names.
    """

    answers: Mapping[str, Answer]

    def __post_init__(self) -> None:
        if len(self.answers) < 2:
            raise TypeError(f"Expected two answers or more, received {len(self.answers)}.")
        for name, one in self.answers.items():
            if not isinstance(one, Answer) or one.named:
                raise TypeError(f"Expected the form of one answer under {name!r}, received {one!r}.")

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Several:
        return cls({name: read(one) for name, one in metadata["answers"].items()})

    def metadata(self) -> dict[str, Any]:
        return super().metadata() | {"answers": {name: one.metadata() for name, one in self.answers.items()}}

    @property
    def named(self) -> Mapping[str, Answer]:
        return self.answers

    @property
    def params(self) -> dict[str, bool]:
        return {name: default for one in self.answers.values() for name, default in one.params.items()}

    @property
    def golden_examples(self) -> int:  # type: ignore[override]
        return min(one.golden_examples for one in self.answers.values())

    @property
    def counted(self) -> dict[str, list[str]]:
        return {name: one.counted[""] for name, one in self.answers.items() if one.counted}

    def tolerance(self, served: Outputs) -> Any:
        return self._each("tolerance", served)

    def agrees(self, served: Outputs, other: Outputs) -> bool:
        """All of them agree."""
        return all(one.agrees(served[name], other[name]) for name, one in self.answers.items())

    def served(self, outputs: Outputs) -> Outputs:
        return self._each("served", outputs)

    def problem(self, outputs: Outputs) -> str:
        problems = self._each("problem", outputs)
        return next((f"{name}: {problem}" for name, problem in problems.items() if problem), "")

    def sent(self, served: Outputs, as_files: bool) -> Any:
        return {name: one.sent(served[name], as_files) for name, one in self.answers.items()}

    def reply(self, served: Outputs, file: bytes | None = None) -> dict[str, Any]:
        return {"answers": each(lambda one, value: one.reply(value, file), dict(self.answers), served)}

    def schema(self) -> dict[str, Any]:
        answers = {name: one.schema() for name, one in self.answers.items()}
        nested = {"type": "object", "required": list(answers), "properties": answers}
        return {"type": "object", "required": ["answers"], "properties": {"answers": nested}}

    def perfect(self, targets: Outputs) -> Outputs:
        perfect = self._each("perfect", targets)
        return None if any(one is None for one in perfect.values()) else perfect

    def likely(self, inputs: np.ndarray, generator: np.random.Generator) -> Outputs:
        return {name: one.likely(inputs, generator) for name, one in self.answers.items()}

    def described(self) -> dict[str, Any]:
        return super().described() | {"answers": {name: one.described() for name, one in self.answers.items()}}

    def _each(self, method: str, values: Outputs) -> Any:
        """What the form of each answer makes of its own."""
        return each(lambda one, value: getattr(one, method)(value), dict(self.answers), values)


FORM = Several

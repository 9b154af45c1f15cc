"""A row of a table: a value for each of some columns, which have names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from forms.corruption import PARTS, Corrupted, of_numbers
from forms.item import Item, ItemError, Shape
from served.words import as_word

MOST_NAMED, MOST_NAME = 5, 40  # columns that a message names, and characters of each


@dataclass(frozen=True)
class Row(Item):
    """Items of shape (columns,) float32. A column of words has the place of the word among its choices as value.

    Attributes:
        columns: Their names, in the order of the values.
        example: A value for each, that a person may begin with.
        choices: For each column the words that stand in it, or none where it has numbers; empty where all have.
        missing: For each column the value that stands for one that is missing; empty where none may be missing.
    """

    reader: ClassVar[str] = "rows"
    field: ClassVar[str] = "row"

    columns: tuple[str, ...]
    example: tuple[float, ...]
    choices: tuple[Sequence[str], ...] = ()
    missing: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.example) != len(self.columns) or len(set(self.columns)) != len(self.columns):
            raise ValueError(
                f"Expected {len(self.columns)} columns of different names and a value for each in the example, "
                f"received {len(set(self.columns))} and {len(self.example)}."
            )
        for name in ("choices", "missing"):
            if len(getattr(self, name)) not in (0, len(self.columns)):
                raise ValueError(f"Expected {name} for each of {len(self.columns)} columns, or none.")
        object.__setattr__(self, "choices", tuple(tuple(words) for words in self.choices))  # metadata have lists

    def metadata(self) -> dict[str, Any]:
        return super().metadata() | {"choices": [list(words) for words in self.choices]}

    @property
    def names(self) -> tuple[str, ...]:
        return self.columns

    @property
    def may_be_missing(self) -> bool:
        return bool(self.missing)

    @property
    def words(self) -> frozenset[str]:
        return frozenset(word for words in self.choices for word in words)

    @property
    def _words(self) -> Sequence[Sequence[str]]:
        """The choices of each column."""
        return self.choices or [()] * len(self.columns)

    @property
    def shown(self) -> dict[str, Any]:
        """The example by the names of the columns, as a person writes it."""
        values = zip(self.columns, self.example, self._words, strict=True)
        return {name: choices[int(value)] if choices else value for name, value, choices in values}

    @property
    def body(self) -> str:
        return f"'{json.dumps({'inputs': [self.shown]})}'"

    @property
    def expected(self) -> str:
        name, value = next(iter(self.shown.items()))
        shown = json.dumps(value) if isinstance(value, str) else f"{value:g}"
        return f'a JSON object with the values of a row: {{"row": {{{json.dumps(name)}: {shown}, ...}}}}'

    def numbers(self, sent: Any, shape: Shape) -> Any:
        """Values by the names of their columns, in any order, or in a list in the order of the columns.

        Raises:
            ItemError: Some are missing, too many, or of no column.
        """
        if not isinstance(sent, dict):
            return super().numbers(sent, shape)
        if unknown := sent.keys() - set(self.columns):
            raise ItemError(f"There is no column {_listed(sorted(unknown))}. Expected {_listed(self.columns)}.")
        if missing := [name for name in self.columns if name not in sent]:
            said = " One that is missing is null." if self.missing else ""
            raise ItemError(f"There is no value for {_listed(missing)}.{said}")
        values = zip(self.columns, self._words, strict=True)
        return np.array([as_word(sent[name]) if choices else sent[name] for name, choices in values], dtype=object)

    def corrupted(self, inputs: np.ndarray, generator: np.random.Generator) -> Corrupted:
        worded = [place for place, words in enumerate(self._words) if words]
        yield from of_numbers(inputs, generator, worded)
        if self.missing:
            for part in PARTS:
                gone = generator.random(inputs.shape) < part
                yield "values missing", np.where(gone, np.array(self.missing, inputs.dtype), inputs)

    def schema(self, shape: Shape, dtype: str) -> dict[str, Any]:
        properties = {name: self._property(choices) for name, choices in zip(self.columns, self._words, strict=True)}
        named = {
            "type": "object",
            "required": list(self.columns),
            "properties": properties,
            "additionalProperties": False,
            "example": self.shown,
        }
        return {"oneOf": [named, super().schema(shape, dtype)]}

    def _property(self, choices: Sequence[str]) -> dict[str, Any]:
        """The schema of a column's value."""
        given: dict[str, Any] = {"type": "string", "enum": list(choices)} if choices else {"type": "number"}
        return {"oneOf": [given, {"type": "null"}]} if self.missing else given

    def described(self) -> dict[str, Any]:
        columns = {"columns": self.columns, "example": self.example}
        return super().described() | columns | {"choices": self.choices, "optional": bool(self.missing)}


FORM = Row


def _listed(names: Sequence[str]) -> str:
    """The first few names, in quotes."""
    shown = [repr(name[:MOST_NAME]) for name in names[:MOST_NAMED]]
    return ", ".join(shown) + (", …" if len(names) > MOST_NAMED else "")

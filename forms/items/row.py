"""A row of a table: a number for each of some columns, which have names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from forms.item import Item, ItemError, Shape

MOST_NAMED, MOST_NAME = 5, 40  # columns that a message names, and characters of each


@dataclass(frozen=True)
class Row(Item):
    """Items of shape (columns,) float32.

    Attributes:
        columns: Their names, in the order of the values.
        example: A value for each, that a person may begin with.
    """

    reader: ClassVar[str] = "rows"
    field: ClassVar[str] = "row"

    columns: tuple[str, ...]
    example: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.example) != len(self.columns) or len(set(self.columns)) != len(self.columns):
            raise ValueError(
                f"Expected {len(self.columns)} columns of different names and a value for each in the example, "
                f"received {len(set(self.columns))} and {len(self.example)}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        return self.columns

    @property
    def body(self) -> str:
        return f"'{json.dumps({'inputs': [self.example]})}'"

    @property
    def expected(self) -> str:
        return f'a JSON object with the values of a row: {{"row": {{"{self.columns[0]}": {self.example[0]:g}, ...}}}}'

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
            raise ItemError(f"There is no value for {_listed(missing)}.")
        return np.array([sent[name] for name in self.columns], dtype=object)

    def schema(self, shape: Shape, dtype: str) -> dict[str, Any]:
        value = {"type": "number"}
        named = {
            "type": "object",
            "required": list(self.columns),
            "properties": dict.fromkeys(self.columns, value),
            "additionalProperties": False,
            "example": dict(zip(self.columns, self.example, strict=True)),
        }
        return {"oneOf": [named, super().schema(shape, dtype)]}

    def described(self) -> dict[str, Any]:
        return super().described() | {"columns": self.columns, "example": self.example}


FORM = Row


def _listed(names: Sequence[str]) -> str:
    """The first few names, in quotes."""
    shown = [repr(name[:MOST_NAME]) for name in names[:MOST_NAMED]]
    return ", ".join(shown) + (", …" if len(names) > MOST_NAMED else "")

"""What is common to the forms of an item."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from forms import form, items
from forms.corruption import Corrupted, of_numbers

Shape = tuple[int | None, ...]  # of an item; None for a side that may be any


class ItemError(Exception):
    """What was sent is no item.

    Args:
        message: One line for whoever sent it.
        kind: What it counts as in the metrics, one of `served.refusal.KINDS`.
    """

    def __init__(self, message: str, kind: str = "shape") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Way:
    """One of the ways in which items can be sent to a scoring server.

    Attributes:
        name: One of "numbers", "bytes" and "files".
        items: The items, (N, ...).
        sent: What is sent for each of them.
        as_files: Whether answers that can be files are files, too.
    """

    name: str
    items: np.ndarray
    sent: list[Any]
    as_files: bool = False


@dataclass(frozen=True)
class Item(form.Form):
    """The form of what a model is asked about."""

    reader: ClassVar[str] = "values"  # what reads it in a scoring server, of served.model.READERS
    field: ClassVar[str] = "values"  # of a request to the gateway, for a file as for numbers
    noun: ClassVar[str] = ""  # for what a person may send as a file, e.g. "picture"; empty where nothing is taken
    files: ClassVar[str] = ""  # what such a file may be, in a sentence
    # Of a side that may be any, how much the network sees at once; 0 for all of it. See served/windows.py.
    window = 0
    most_bytes = 10_000_000  # of a request to the gateway with a file
    smaller: ClassVar[str] = ""  # what to do about one that takes too much to be decoded, in a sentence
    unreadable: ClassVar[str] = "encoding"  # what one that cannot be decoded counts as in the metrics

    def metadata(self) -> dict[str, Any]:
        return super().metadata() | {"reader": self.reader}

    @property
    def packages(self) -> tuple[str, ...]:
        """What a model that is served needs to read it, besides what all need."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """Those of an item's values, where they have some."""
        return ()

    @property
    def may_be_missing(self) -> bool:
        """Whether null, or NaN, may stand for a value."""
        return False

    @property
    def words(self) -> frozenset[str]:
        """Those that may stand for values."""
        return frozenset()

    @property
    def shown(self) -> dict[str, Any]:
        """An example by these names, as a person writes it."""
        return {}

    @property
    def ways_in_words(self) -> str:
        """How a scoring server takes it, for people."""
        return "as nested lists of numbers or as one base64 string, of the raw values"

    @property
    def body(self) -> str:
        """The body of a request to a scoring server with one item, as an argument in a shell."""
        return r'''"{\"inputs\": [\"$(base64 < item.bin | tr -d '\n')\"]}"'''

    def shape(self, inputs: np.ndarray) -> Shape:
        """Of one item of a split's inputs (N, ...)."""
        return inputs.shape[1:]

    def size(self, shape: Shape) -> str:
        """The item's shape, for people."""
        return "×".join(map(str, shape))

    def file(self, data: bytes, shape: Shape) -> np.ndarray:
        """A person's file as an item.

        Raises:
            ItemError: It is none.
        """
        raise ItemError("This model does not take files.")

    def work(self, data: bytes) -> int:
        """How long reading a file will take, in nanoseconds on an idle machine, roughly.

        Raises:
            ItemError: It is none, or it would be too much.
        """
        return 0

    @property
    def expected(self) -> str:
        """What a request in JSON looks like, for people."""
        return f'a JSON object with a list of numbers: {{"{self.field}": [...]}}'

    def numbers(self, sent: Any, shape: Shape) -> Any:
        """What stands in a request's field as an item: numbers, all in one list, or nested in the item's shape, which
        the model looks at. Where sides may be any they have to be nested.

        Raises:
            ItemError: It is no list, or they are too many or too few.
        """
        if not isinstance(sent, list):
            raise ItemError(f"Expected {self.expected}.", "type")
        if None in shape or any(isinstance(value, list) for value in sent):
            return sent
        size = math.prod(side or 1 for side in shape)
        if len(sent) != size:
            raise ItemError(f"Expected {size} numbers, received {len(sent)}.")
        return np.array(sent, dtype=object).reshape(shape)

    def ways(self, inputs: np.ndarray) -> Iterator[Way]:
        """The ways in which these items (N, ...) may be sent to a scoring server; one is as numbers."""
        yield Way("numbers", inputs, inputs.tolist())
        yield Way("bytes", inputs, [base64.b64encode(one.tobytes()).decode() for one in inputs])

    def largest(self) -> str:
        """A file in base64 of about as much as is asked about at once, where items have sizes of their own: what memory
        answering takes is found out by it. Empty where all are of one size."""
        return ""

    def hostile(self, item: np.ndarray) -> Iterator[tuple[str, bytes]]:
        """Bytes that are no item, as somebody may send them in base64, each with what is wrong with it.

        Args:
            item: A good one.
        """
        yield "bytes of the wrong size", not_as_many(b"seven", item)

    def corrupted(self, inputs: np.ndarray, generator: np.random.Generator) -> Corrupted:
        """The items (N, ...) made worse on purpose, in several ways; nothing where there is no telling how."""
        yield from of_numbers(inputs, generator)

    def request_schema(self) -> dict[str, Any]:
        """What OpenAPI calls the request body of a prediction: JSON, and a file where files are taken."""
        content = {"application/json": {"schema": self._object({"$ref": "#/components/schemas/Item"})}}
        if self.noun:
            file = {"type": "string", "format": "binary", "description": self.files}
            content["multipart/form-data"] = {"schema": self._object(file)}
        return {"required": True, "content": content}

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "required": [self.field], "properties": {self.field: value}}

    def seen(self, item: np.ndarray) -> dict[str, Any]:
        """What the gateway says of the item that a file became, besides the answer."""
        return {}

    def seen_schema(self) -> dict[str, Any]:
        """The JSON schema of what `seen` gives, by name."""
        return {}

    def schema(self, shape: Shape, dtype: str) -> dict[str, Any]:
        """The JSON schema of an item as numbers."""
        number: dict[str, Any] = {"type": "number"}
        if np.issubdtype(dtype, np.integer):
            bounds = np.iinfo(dtype)
            number = {"type": "integer", "minimum": int(bounds.min), "maximum": int(bounds.max)}
        size = math.prod(side or 1 for side in shape)
        words = "The item's values row by row. (Nested in the item's shape they are taken too.)"
        return {"type": "array", "items": number, "minItems": size, "maxItems": size, "description": words}

    def described(self) -> dict[str, Any]:
        """What the page and programs have to know of it."""
        return {"item": self.name, "field": self.field, "noun": self.noun, "picture": None, "white": None}


def not_as_many(data: bytes, item: np.ndarray) -> bytes:
    """The bytes, of which one more is taken where they are as many as the item has as uint8 or as float32."""
    return data + data[-1:] if len(data) in (item.size, 4 * item.size) else data


def read(metadata: Mapping[str, Any]) -> Item:
    """The form that a model's metadata describe.

    Raises:
        UnknownFormError: This code does not know it.
    """
    result: Item = form.read(items, metadata)
    return result

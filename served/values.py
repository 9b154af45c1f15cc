"""Items as numbers: nested lists, arrays, tables, or their bytes as base64."""

import binascii
import math
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from .features import Features, of_columns, of_values
from .refusal import Refused
from .words import as_word

NUMBERS = (int, float, np.integer, np.floating)
MOST_WORDS = 10  # that a message names

Shape = tuple[int | None, ...]  # of an item; None for a side that may be any


class Values:
    """Reads items of one shape.

    Args:
        shape: Of one item.
        dtype: Of one item; uint8 or float32.
    """

    any_size: ClassVar[bool] = False  # whether items have shapes of their own, and each is a batch

    def __init__(self, shape: Shape, dtype: np.dtype) -> None:
        self.shape = shape
        self.dtype = dtype
        self.item_bytes = math.prod(side or 1 for side in shape) * dtype.itemsize
        self._sent = dtype.newbyteorder("<")  # as raw values are sent

    @classmethod
    def of(cls, item: dict[str, Any], shape: Shape, dtype: np.dtype) -> Self:
        """What reads the items that metadata describe."""
        return cls(shape, dtype)

    @property
    def expected(self) -> str:
        """The shape of an item, for people."""
        return str(self.shape)

    def listed(self, given: Any) -> Any:
        """What was passed as items one after the other: a list, or an array with a row an item.

        Raises:
            Refused: It is neither, nor a tuple, nor a table.
        """
        if isinstance(given, list):
            return given
        if isinstance(given, np.ndarray) and given.ndim:
            return given.tolist() if given.dtype.kind in "OUS" else given
        if isinstance(given, tuple | pd.Series):
            return list(given)
        if isinstance(given, pd.DataFrame):
            return self.rows(given)
        raise Refused("type", f"expected a list of items, received {type(given).__name__}")

    def rows(self, frame: pd.DataFrame) -> Any:
        """The items in a table: one a cell where there is one column, else a row each, with a column a value.

        Raises:
            Refused: It has more or fewer columns.
        """
        size = self.item_bytes // self.dtype.itemsize
        columns = frame.shape[1]
        if has_items(frame):
            return [_nested(cell) for cell in frame.iloc[:, 0]]
        if self.any_size or columns != size:
            many = "" if self.any_size else f"{size} columns, one a value, or "
            raise Refused("shape", f"expected {many}one column of items, received {columns} columns")
        return frame.to_numpy().reshape(len(frame), *self.shape)

    def batches(self, items: Any) -> list[np.ndarray]:
        """What is sent as arrays that the network takes: one batch of all.

        Args:
            items: At least one, as `listed` gives them; each either raw values, as nested lists or as an array, or a
                string.

        Raises:
            Refused: They are none.
        """
        if isinstance(items, np.ndarray):
            self.check_shape(items.shape[1:])
            batch = self.converted(items, _kinds(items))
        else:
            # numpy takes longer over 64 small arrays than over one large one.
            sent = b"".join([self.decoded(unpacked(one)) if isinstance(one, str) else self.raw(one) for one in items])
            batch = np.frombuffer(sent, self._sent).astype(self.dtype, copy=False).reshape(len(items), *self.shape)
        if self.dtype.kind == "f" and not np.isfinite(batch).all():
            raise Refused("range", "expected finite numbers only")
        return [batch]

    def features(self, batch: np.ndarray) -> Features:
        """What items (N, ...) are watched by."""
        return of_values(batch)

    def decoded(self, data: bytes) -> bytes:
        """The raw values of an item that came as a string, in C order, little-endian.

        Raises:
            Refused: They are none.
        """
        if len(data) != self.item_bytes:
            message = f"expected {self.item_bytes} bytes of raw values, received {len(data)} bytes"
            raise Refused("encoding", message)
        return data

    def raw(self, item: Any) -> bytes:
        """Values as they would be sent.

        Raises:
            Refused: They are no item.
        """
        return self.checked(item).astype(self._sent, copy=False).tobytes()

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuses an array that is no item."""
        if shape != self.shape:
            raise Refused("shape", f"expected an item of shape {self.expected}, received {shape}")

    def checked(self, item: Any) -> np.ndarray:
        """Raw values as an array of the item's shape and type.

        Raises:
            Refused: They are none.
        """
        # Lists become arrays of objects first: left to itself, numpy would widen every cell to the longest string.
        values = item if isinstance(item, np.ndarray) else np.array(item, dtype=object)
        if list in (kinds := _kinds(values)):
            raise Refused("shape", f"expected an item of shape {self.expected}, received a ragged list")
        self.check_shape(values.shape)
        return self.converted(values, kinds)

    def converted(self, values: np.ndarray, kinds: set[type]) -> np.ndarray:
        """Numbers of these kinds in the item's type.

        Raises:
            Refused: They are no numbers, or that type has no such numbers.
        """
        if values.dtype == self.dtype:
            return values
        if not all(issubclass(kind, NUMBERS) and kind is not bool for kind in kinds):
            raise Refused("type", "expected numbers only")
        try:
            numbers = values.astype(np.float64)
        except OverflowError:  # a whole number of hundreds of digits
            raise Refused("range", "expected finite numbers only") from None
        if self.dtype.kind == "f":
            with np.errstate(over="ignore"):  # too large a number becomes infinite, which is refused
                return numbers.astype(self.dtype)
        bounds = np.iinfo(self.dtype)
        # A NaN fails every comparison, so it is refused here too.
        if not (numbers.min() >= bounds.min and numbers.max() <= bounds.max and (numbers == np.floor(numbers)).all()):
            raise Refused("range", f"expected whole numbers from {bounds.min} to {bounds.max}")
        return numbers.astype(self.dtype)


def _kinds(values: np.ndarray) -> set[type]:
    """The types of the values."""
    return set(map(type, values.ravel())) if values.dtype.kind == "O" else {values.dtype.type}


def has_items(frame: pd.DataFrame) -> bool:
    """Whether it has one column, whose cells are whole items: arrays, lists or strings."""
    return frame.shape[1] == 1 and frame.dtypes.iloc[0].kind not in "iufb"


def _nested(cell: Any) -> Any:
    """A cell of a table; one that came as Parquet has arrays of arrays in place of nested lists."""
    if isinstance(cell, np.ndarray) and cell.dtype.kind == "O":
        return [_nested(part) for part in cell]
    return cell


def unpacked(text: str) -> bytes:
    """The bytes that a string stands for.

    Raises:
        Refused: It stands for none.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise Refused("encoding", "expected a string to be base64") from None


class Rows(Values):
    """Reads rows of a table whose columns have names: a list of values each, or values by name.

    Args:
        shape: Of one row.
        dtype: Of one row.
        columns: The names, in the order of the values.
        choices: For each column the words that stand in it, each of which has its place among them as value; none
            where it has numbers.
        missing: For each column what stands for a value that is missing; none where none may be missing.
    """

    def __init__(
        self,
        shape: Shape,
        dtype: np.dtype,
        columns: list[str],
        choices: list[list[str]] | None = None,
        missing: list[float] | None = None,
    ) -> None:
        super().__init__(shape, dtype)
        self.columns = columns
        self._missing: list[float | None] = list(missing or ()) or [None for _ in columns]
        self._choices = choices or [[]] * len(columns)
        self._words = dict(zip(columns, self._choices, strict=True))
        self._plain = not any(self._choices) and not missing
        self._places = [{word: place for place, word in enumerate(words)} for words in self._choices]

    @classmethod
    def of(cls, item: dict[str, Any], shape: Shape, dtype: np.dtype) -> Self:
        return cls(shape, dtype, item["columns"], item.get("choices"), item.get("missing"))

    def listed(self, given: Any) -> Any:
        """A table may also be a dictionary of columns."""
        if isinstance(given, np.ndarray) and given.ndim == 2 and not self._plain:
            return given.tolist()
        if not isinstance(given, dict):
            return super().listed(given)
        self._check_names(given.keys())
        columns = {name: given[name] for name in self.columns}
        sizes = {
            len(column) if isinstance(column, list | np.ndarray | pd.Series) else -1 for column in columns.values()
        }
        if len(sizes) != 1 or -1 in sizes:
            raise Refused("shape", "expected columns of one length")
        return self.rows(pd.DataFrame(columns))

    def rows(self, frame: pd.DataFrame) -> Any:
        """Columns in any order, and some more; where columns have numbers for names, those are their places."""
        if self._has_names(frame):
            if frame.columns.has_duplicates:
                raise Refused("shape", "expected columns of different names")
            self._check_names(set(frame.columns))
            columns = [frame[name].map(as_word) if words else frame[name] for name, words in self._words.items()]
            found = pd.concat(columns, axis=1).to_numpy()
        else:
            found = super().rows(frame)
        return found if self._plain or isinstance(found, list) else found.astype(object).tolist()

    def features(self, batch: np.ndarray) -> Features:
        return of_columns(batch, self.columns)

    def raw(self, item: Any) -> bytes:
        if isinstance(item, dict):
            self._check_names(item.keys())
            item = [as_word(item[name]) if words else item[name] for name, words in self._words.items()]
        elif isinstance(item, np.ndarray):
            item = item.tolist()
        if isinstance(item, list) and len(item) == len(self.columns):
            item = [self._value(place, value) for place, value in enumerate(item)]
        return super().raw(item)

    def _value(self, place: int, value: Any) -> Any:
        """The number for what stands in a column. One for a column of words is a place among them."""
        if value is None or value is pd.NA or value != value or value == "":  # NaN is what is not itself
            return value if self._missing[place] is None else self._missing[place]
        name, words = self.columns[place], self._choices[place]
        if not words:
            if isinstance(value, str | bool):
                raise Refused("type", f"expected a number for {name!r}")
            return value
        found = self._places[place].get(as_word(value)) if isinstance(value, str | bool) else value
        if found not in range(len(words)):
            shown = ", ".join(map(repr, words[:MOST_WORDS])) + (", …" if len(words) > MOST_WORDS else "")
            raise Refused("range", f"expected {name!r} to be one of {shown}")
        return found

    def _has_names(self, frame: pd.DataFrame) -> bool:
        """Whether its columns are known by their names, not by their places."""
        if has_items(frame):
            return frame.columns[0] in self.columns
        return not all(isinstance(name, int | np.integer) for name in frame.columns)

    def _check_names(self, names: Any) -> None:
        """Whoever means a value to be missing has to say so: a column that is not there may have got another name."""
        if missing := [name for name in self.columns if name not in names]:
            more = f" and {len(missing) - 1} more columns" if len(missing) > 1 else ""
            said = "" if None in self._missing else ". A value that is missing is null"
            raise Refused("shape", f"expected the columns of the table, received none for {missing[0]!r}{more}{said}")

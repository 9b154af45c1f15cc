"""Items as numbers: nested lists, arrays, or their bytes as base64."""

import binascii
import math
from typing import Any, ClassVar

import numpy as np

from .refusal import Refused

NUMBERS = (int, float, np.integer, np.floating)

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

    @property
    def expected(self) -> str:
        """The shape of an item, for people."""
        return str(self.shape)

    def batches(self, items: Any) -> list[np.ndarray]:
        """What is sent as arrays that the network takes: one batch of all.

        Args:
            items: At least one; each either raw values, as nested lists or as an array, or a string.

        Raises:
            Refused: They are none.
        """
        # numpy takes longer over 64 small arrays than over one large one.
        raw = b"".join([self.decoded(unpacked(item)) if isinstance(item, str) else self.raw(item) for item in items])
        batch = np.frombuffer(raw, self._sent).astype(self.dtype, copy=False).reshape(len(items), *self.shape)
        if self.dtype.kind == "f" and not np.isfinite(batch).all():
            raise Refused("range", "expected finite numbers only")
        return [batch]

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
        kinds = set(map(type, values.ravel())) if values.dtype.kind == "O" else {values.dtype.type}
        if list in kinds:
            raise Refused("shape", f"expected an item of shape {self.expected}, received a ragged list")
        self.check_shape(values.shape)
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


def unpacked(text: str) -> bytes:
    """The bytes that a string stands for.

    Raises:
        Refused: It stands for none.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise Refused("encoding", "expected a string to be base64") from None


class Numbers:
    """Writes an answer as the network gives it."""

    def check(self, outputs: list[str]) -> None:
        """Sees to it that no output would be dropped."""
        if len(outputs) != 1:
            raise ValueError(f"the graph has the outputs {sorted(outputs)}, its answer is one")

    def values(self, outputs: dict[str, np.ndarray]) -> np.ndarray:
        """What is answered, of shape (N, ...), where this is the one output."""
        (output,) = outputs.values()
        return self.array(output)

    def array(self, output: np.ndarray) -> np.ndarray:
        """What is answered, of shape (N, ...) as the output is."""
        return output

    def one(self, values: np.ndarray, as_file: bool) -> np.ndarray | str:
        """The answer (...) to the one item of `values` (1, ...), which may have come as a file."""
        first: np.ndarray = values[0]
        return first

    def together(self, answers: list[Any]) -> Any:
        """The answers to several items, each given by `one`."""
        return answers


class Named:
    """Writes several answers, each under the name of its output.

    Args:
        writers: What writes each of them.
    """

    def __init__(self, writers: dict[str, Numbers]) -> None:
        self._writers = writers

    def check(self, outputs: list[str]) -> None:
        if sorted(outputs) != sorted(self._writers):
            raise ValueError(f"the graph has the outputs {sorted(outputs)}, its answer {sorted(self._writers)}")

    def values(self, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: writer.array(outputs[name]) for name, writer in self._writers.items()}

    def one(self, values: dict[str, np.ndarray], as_file: bool) -> dict[str, np.ndarray | str]:
        return {name: writer.one(values[name], as_file) for name, writer in self._writers.items()}

    def together(self, answers: list[Any]) -> Any:
        return {name: [answer[name] for answer in answers] for name in self._writers}

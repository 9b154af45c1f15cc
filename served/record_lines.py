"""What was served, as lines of the record.

A line is a JSON object that holds columns: lists of one length, with a value an item. What stands in a row together is
no more than who watches a model has to be able to join: id, time, latency, label and confidence. Everything that
describes inputs is kept apart from that, and its values apart from each other.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .features import of_probabilities
from .record_features import Features, Unlinked, numbers
from .record_files import Line

try:
    import orjson
except ImportError:  # the container has it, other servers may not; it is ten times as fast
    orjson = None  # type: ignore[assignment]

# Names of the classes whose probabilities an output has; None where it has a number. By the name of the output, which
# is empty where there is one.
Outputs = dict[str, list[str] | None]
Columns = dict[str, list[Any]]

MOST_ROWS = 400  # in a line
MOST_LABELS = 100  # whose probabilities are recorded, too; thousands would take most of the time and of the room


class Answered(NamedTuple):
    """A request that was answered.

    Attributes:
        id: By which whoever sent it knows it.
        time: When it came, in seconds since 1970.
        seconds: That it took.
        items: That it was about.
        outputs: Those that are recorded, by name: probabilities (items, labels), or numbers (items, ...).
        features: Of how many of its items, the first ones, features are recorded.
        inputs: Batches of those items; of all where they are kept as they are.
        is_kept: Whether they are.
    """

    id: str
    time: float
    seconds: float
    items: int
    outputs: dict[str, np.ndarray]
    features: int
    inputs: list[np.ndarray]
    is_kept: bool

    @property
    def names(self) -> list[str]:
        """The id of each item."""
        return [self.id] if self.items == 1 else [f"{self.id}.{place}" for place in range(self.items)]


class Refusal(NamedTuple):
    """A request without an answer, by the reason, one of `refusal.KINDS`."""

    id: str
    time: float
    seconds: float
    kind: str


class Lines:
    """Makes lines of what was served. Features of few items are held back until there are more.

    Args:
        source: What answered, as a URI of MLflow.
        outputs: What is recorded of the answers.
        features: Gives what describes inputs; None where nothing does.
    """

    def __init__(self, source: str, outputs: Outputs, features: Features | None) -> None:
        self._source = source
        self._outputs = outputs
        self._unlinked = Unlinked(features)

    def of(self, served: Sequence[Answered | Refusal]) -> Iterator[Line]:
        """The lines for these requests; an item of theirs is counted with one of them."""
        refused = [one for one in served if isinstance(one, Refusal)]
        if refused:
            columns: Columns = {
                "id": [one.id for one in refused],
                **_times(refused),
                "kind": [one.kind for one in refused],
            }
            yield from self._lines("refusal", columns, items=1)
        answered = [one for one in served if isinstance(one, Answered)]
        if answered:
            yield from self._predictions(answered)
            for one in answered:
                if one.is_kept:
                    yield from self._inputs(one)
            self._hold([one for one in answered if one.features])
            for content in self._unlinked.ready():
                yield self._line("features", content, items=0)

    def _predictions(self, answered: list[Answered]) -> Iterator[Line]:
        names = [name for one in answered for name in one.names]
        columns: Columns = {"id": names, **_times(answered, [one.items for one in answered])}
        if not self._outputs:
            yield from self._lines("prediction", columns, items=1)
        for place, (output, labels) in enumerate(self._outputs.items()):
            values = np.concatenate([one.outputs[output] for one in answered])
            if labels is None:
                predicted = {"value": numbers(values[:, 0])}
            else:
                predicted = {"label": values.argmax(axis=1).tolist(), "confidence": numbers(values.max(axis=1))}
            yield from self._lines("prediction", columns | predicted, items=int(place == 0), output=output)

    def _hold(self, described: list[Answered]) -> None:
        """Has features of their items written, at once or with those of later ones."""
        times = [one.time for one in described]
        for output, labels in self._outputs.items() if described else ():
            if labels is not None and len(labels) <= MOST_LABELS:
                values = np.concatenate([one.outputs[output][: one.features] for one in described])
                self._unlinked.hold(of_probabilities(values, labels, output), times)
        for one in described:
            left = one.features
            for batch in one.inputs:
                self._unlinked.hold_features(batch[:left], one.time)
                left = max(0, left - len(batch))

    def _inputs(self, one: Answered) -> Iterator[Line]:
        """A line an item: pictures are large."""
        items = (item for batch in one.inputs for item in batch)
        for name, item in zip(one.names, items, strict=True):
            sent = item.astype(item.dtype.newbyteorder("<"), copy=False)
            columns: Columns = {"id": [name], "time": [round(one.time, 3)], "shape": [list(item.shape)]}
            data = [base64.b64encode(sent.tobytes()).decode()]
            yield from self._lines("input", columns | {"data": data}, items=0, dtype=item.dtype.name)

    def _lines(self, kind: str, columns: Columns, items: int, **more: Any) -> Iterator[Line]:
        """Lines of at most MOST_ROWS; `items` is how many are counted with a row."""
        rows = len(columns["id"])
        for begin in range(0, rows, MOST_ROWS):
            part = {name: column[begin : begin + MOST_ROWS] for name, column in columns.items()}
            yield self._line(kind, more | part, items * len(part["id"]))

    def _line(self, kind: str, content: dict[str, Any], items: int) -> Line:
        line = {"type": kind, "source": self._source} | content
        if orjson is not None:
            return Line(orjson.dumps(line) + b"\n", items)
        return Line(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n", items)


def _times(served: Sequence[Answered | Refusal], counts: Sequence[int] | int = 1) -> dict[str, list[float]]:
    """When these requests came and how long they took, each as often as `counts` says."""
    return {
        "time": np.repeat(np.round([one.time for one in served], 3), counts).tolist(),
        "seconds": np.repeat(np.round([one.seconds for one in served], 6), counts).tolist(),
    }

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
from .record_features import Features, Known, Unlinked, numbers
from .record_files import Line

try:
    import orjson
except ImportError:  # the container has it, other servers may not; it is ten times as fast
    orjson = None  # type: ignore[assignment]

# Names of the classes whose probabilities an output has; None where it has a number. By the name of the output, which
# is empty where there is one.
Outputs = dict[str, list[str] | None]
Columns = dict[str, list[Any]]
# A request of which nothing but the answer is recorded: as Answered, but for the last, which is its only output.
Plain = tuple[str, float, float, int, np.ndarray]

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
        repeats: Whether inputs are often the same as others, so that this says nothing of them.
    """

    def __init__(self, source: str, outputs: Outputs, features: Features | None, repeats: bool) -> None:
        self._source = source
        self._outputs = outputs
        self._unlinked = Unlinked(features)
        self._known = None if repeats else Known()

    def of(self, served: Sequence[Answered | Refusal]) -> Iterator[Line]:
        """The lines for these requests; an item of theirs is counted with one of them."""
        refused = [one for one in served if isinstance(one, Refusal)]
        if refused:
            columns: Columns = {
                "id": [one.id for one in refused],
                **_rounded(*_times(refused)),
                "kind": [one.kind for one in refused],
            }
            yield from self._lines("refusal", columns, items=1)
        answered = [one for one in served if isinstance(one, Answered)]
        if answered:
            counts = [one.items for one in answered]
            outputs = {name: np.concatenate([one.outputs[name] for one in answered]) for name in self._outputs}
            yield from self._predictions([one.id for one in answered], *_times(answered), counts, outputs)
            for one in answered:
                if one.is_kept:
                    yield from self._inputs(one)
            self._hold([one for one in answered if one.features])
            for content in self._unlinked.ready():
                yield self._line("features", content, items=0)

    def of_plain(self, plain: Sequence[Plain]) -> Iterator[Line]:
        """The lines for these requests."""
        if plain:
            requests, times, seconds, counts, outputs = zip(*plain, strict=True)
            yield from self._predictions(requests, times, seconds, counts, {"": np.concatenate(outputs)})

    def _predictions(
        self,
        requests: Sequence[str],
        times: Sequence[float],
        seconds: Sequence[float],
        counts: Sequence[int],
        outputs: dict[str, np.ndarray],
    ) -> Iterator[Line]:
        """Lines about the items of requests, of which `outputs` are those of all items, one after another."""
        columns: Columns = {"id": of_items(requests, counts)}
        columns |= _rounded(np.repeat(times, counts), np.repeat(seconds, counts))
        if not self._outputs:
            yield from self._lines("prediction", columns, items=1)
        for place, (output, labels) in enumerate(self._outputs.items()):
            values = outputs[output]
            if labels is None:
                predicted = {"value": numbers(values[:, 0])}
            else:
                predicted = {"label": values.argmax(axis=1).tolist(), "confidence": numbers(values.max(axis=1))}
            yield from self._lines("prediction", columns | predicted, items=int(place == 0), output=output)

    def _hold(self, described: list[Answered]) -> None:
        """Has features of their items written, at once or with those of later ones."""
        chosen = [self._chosen(one) for one in described]
        times = [one.time for one in described]
        for output, labels in self._outputs.items() if described else ():
            if labels is not None and len(labels) <= MOST_LABELS:
                parts = [one.outputs[output][: one.features][new] for one, new in zip(described, chosen, strict=True)]
                self._unlinked.hold(of_probabilities(np.concatenate(parts), labels, output), times)
        for one, new in zip(described, chosen, strict=True):
            begin = 0
            for batch in first(one.inputs, one.features):
                self._unlinked.hold_features(batch[new[begin : begin + len(batch)]], one.time)
                begin += len(batch)

    def _chosen(self, one: Answered) -> np.ndarray:
        """Which of the items to be described (features,) bool are."""
        if self._known is None:
            return np.ones(one.features, bool)
        new = self._known.are_new(item for batch in first(one.inputs, one.features) for item in batch)
        chosen = np.zeros(one.features, bool)  # not those whose inputs were too large to keep
        chosen[: len(new)] = new
        return chosen

    def _inputs(self, one: Answered) -> Iterator[Line]:
        """A line an item: pictures are large."""
        items = (item for batch in one.inputs for item in batch)
        for name, item in zip(of_items([one.id], [one.items]), items, strict=True):
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


def first(batches: list[np.ndarray], items: int) -> list[np.ndarray]:
    """The first items of batches (N, ...), which keep nothing of the others in memory."""
    result = []
    for batch in batches:
        if items <= 0:
            break
        result.append(batch if len(batch) <= items else batch[:items].copy())
        items -= len(batch)
    return result


def of_items(requests: Sequence[str], counts: Sequence[int]) -> list[str]:
    """The id of each item of requests with these: of a request about one item that of the request, else
    <request>.<place>."""
    names: list[str] = []
    if max(counts) == 1:
        return [*requests]
    for request, count in zip(requests, counts, strict=True):
        names += [request] if count == 1 else [f"{request}.{place}" for place in range(count)]
    return names


def _times(served: Sequence[Answered | Refusal]) -> tuple[list[float], list[float]]:
    """When these requests came, and how long they took."""
    return [one.time for one in served], [one.seconds for one in served]


def _rounded(times: Sequence[float] | np.ndarray, seconds: Sequence[float] | np.ndarray) -> Columns:
    return {"time": np.round(times, 3).tolist(), "seconds": np.round(seconds, 6).tolist()}

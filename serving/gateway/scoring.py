"""A challenger is asked about what the champion has answered, and how the two compare is counted.

No request waits for that: it only leaves here what was asked and answered, if there is room.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from forms.outputs import Outputs
from serving.gateway.challenger import DIFFERED, FAILED, OUTCOMES, SKIPPED, Challenger, ChallengerError
from serving.gateway.champion import Release

logger = logging.getLogger(__name__)

# Between two looks for what waits. A thread that woke with every request would take the interpreter from the next one.
EVERY_SECONDS = 0.1
# What waits. Twice as much may be in memory while what waited before is being answered.
MOST_ITEMS = 1024
MOST_BYTES = 32 * 2**20
# Of a batch, if it has more than one item.
MOST_BATCH_ITEMS = 64
MOST_BATCH_BYTES = 2**20
# After a challenger has failed, each time twice as long. It begins anew with one that has been up for so long.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 300.0
STEADY_SECONDS = 60.0
END_SECONDS = 5.0

Tally = Callable[[str, str, int], None]  # is told a challenger's version, an outcome, and of how many items more
Counts = dict[str, dict[str, int]]  # items by the version that answered them, and by outcome


@dataclass(frozen=True, eq=False)
class Asked:
    """An item, what was answered (...), and by which version."""

    release: Release
    item: Any
    output: Outputs
    bytes: int


class Scoring(threading.Thread):
    """Has one challenger answer what is noted, from `start` until `end`.

    Args:
        challenger: Whom to ask.
        tally: Whom to tell what is counted.
    """

    def __init__(self, challenger: Challenger, tally: Tally) -> None:
        super().__init__(name=f"shadow of version {challenger.version}", daemon=True)
        self.challenger = challenger
        self._tally = tally
        self._noting = threading.Lock()
        self._waiting: list[Asked] = []
        self._bytes = 0  # of what waits
        self._skipped: Counter[str] = Counter()  # by version, and not counted yet
        self._counted: dict[str, Counter[str]] = {}
        self._is_closed = False  # while the challenger rests after a failure, and after its end
        self._ended = threading.Event()
        self._is_up = False
        self._pause = FIRST_PAUSE_SECONDS
        self._rests_until = self._up_since = 0.0  # of time.monotonic
        for outcome in OUTCOMES:  # a rate needs a value before the first item
            tally(challenger.version, outcome, 0)

    def note(self, release: Release, item: Any, output: Outputs) -> None:
        """Leaves an item that was answered, where there is room. Every microsecond here is one of a request's."""
        asked = Asked(release, item, output, size(item) + size(output))
        with self._noting:
            if self._is_closed or len(self._waiting) >= MOST_ITEMS or self._bytes + asked.bytes > MOST_BYTES:
                self._skipped[release.version] += 1
            else:
                self._waiting.append(asked)
                self._bytes += asked.bytes

    def counts(self) -> Counts:
        """All that was counted until now."""
        with self._noting:
            return {version: dict(counted) for version, counted in self._counted.items()}

    def end(self) -> None:
        """Ends the challenger's process for good; what still waits is skipped."""
        self._ended.set()
        self.challenger.dismiss()
        if self.is_alive():
            self.join(END_SECONDS)

    def run(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            try:
                self._count_skipped()
                if time.monotonic() >= self._rests_until:
                    self._ask()
            except Exception:  # nobody would count any more, and nobody would notice
                logger.exception("Comparing version %s with the champion failed; it goes on.", self.challenger.version)
        self.challenger.end()
        self._count(self._take(close=True), SKIPPED)
        self._count_skipped()

    def _ask(self) -> None:
        """Has the challenger, which is started where it is not up, answer what waits."""
        under_way: deque[list[Asked]] = deque()
        try:
            self._see_that_it_is_up()
            under_way.extend(batches(self._take()))
            while under_way:
                self._compare(under_way[0])
                under_way.popleft()
        except ChallengerError as error:
            self._fail(error, list(under_way))

    def _see_that_it_is_up(self) -> None:
        """
        Raises:
            ChallengerError: It cannot be loaded, or has ended since it last answered.
        """
        if self.challenger.is_running:
            return
        if self._is_up:
            raise ChallengerError("its process ended while it was asked nothing")
        self._is_closed = False
        self.challenger.load()
        self._is_up, self._up_since = True, time.monotonic()

    def _compare(self, batch: list[Asked]) -> None:
        """
        Raises:
            ChallengerError: The challenger failed, and nothing of the batch was counted.
        """
        alike: dict[bool, list[Asked]] = {True: [], False: []}
        for one in batch:
            alike[one.release.answer == self.challenger.answer].append(one)
        said = self.challenger.outcomes([(one.item, one.output) for one in alike[True]]) if alike[True] else []
        for one, outcome in zip(alike[True], said, strict=True):
            self._count([one], outcome)
        self._count(alike[False], DIFFERED)  # labels of other names, or another unit, are another answer

    def _fail(self, error: ChallengerError, under_way: list[list[Asked]]) -> None:
        """Counts what failed, of several batches the first, and lets the challenger rest."""
        self.challenger.end()
        steady = self._is_up and time.monotonic() - self._up_since > STEADY_SECONDS
        self._is_up = False
        failed, *others = under_way or [self._take()]
        self._count(failed, SKIPPED if self._ended.is_set() else FAILED)
        for batch in (*others, self._take(close=True)):
            self._count(batch, SKIPPED)
        if self._ended.is_set():
            return
        pause = FIRST_PAUSE_SECONDS if steady else self._pause
        message = "Version %s, the challenger, failed: %s. It is started again in %.0f s."
        logger.error(message, self.challenger.version, error, pause)
        self._rests_until = time.monotonic() + pause
        self._pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _take(self, close: bool = False) -> list[Asked]:
        """What waits, which does so no longer.

        Args:
            close: Whether what comes from now on is skipped.
        """
        with self._noting:
            taken, self._waiting, self._bytes = self._waiting, [], 0
            self._is_closed = self._is_closed or close
        return taken

    def _count(self, items: Iterable[Asked], outcome: str) -> None:
        self._add(Counter(one.release.version for one in items), outcome)

    def _count_skipped(self) -> None:
        with self._noting:
            skipped, self._skipped = self._skipped, Counter()
        self._add(skipped, SKIPPED)

    def _add(self, items: Counter[str], outcome: str) -> None:
        """Counts so many items of each version that answered them."""
        with self._noting:
            for version, number in items.items():
                self._counted.setdefault(version, Counter())[outcome] += number
        if number := items.total():
            self._tally(self.challenger.version, outcome, number)


def batches(items: list[Asked]) -> Iterator[list[Asked]]:
    """The items in parts that are answered at once."""
    batch: list[Asked] = []
    taken = 0
    for one in items:
        if batch and (len(batch) >= MOST_BATCH_ITEMS or taken + one.bytes > MOST_BATCH_BYTES):
            yield batch
            batch, taken = [], 0
        batch.append(one)
        taken += one.bytes
    if batch:
        yield batch


def size(values: Any) -> int:
    """How much memory values take, roughly, in bytes; of lists, which are as many and as long as their first."""
    if isinstance(values, np.ndarray):
        return values.nbytes if values.dtype != object else 40 * values.size
    if isinstance(values, dict):
        return sum(map(size, values.values()))
    if isinstance(values, list):
        return 64 + len(values) * (8 + size(values[0])) if values else 64
    return 32

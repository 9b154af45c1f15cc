"""A record of what was served, for whoever watches over a model: what became of each request, and what its inputs were
like, without the inputs.

Where the environment variable TRAFFIC_DIR names a folder or an object store, every process that answers writes files
there. Nothing waits for that: what is served is only noted, written once a second by a thread, and sent by another one.
What cannot be written is counted.
"""

import atexit
import contextvars
import itertools
import logging
import os
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from .record_features import Features
from .record_files import Files, Line, Settings, Spool
from .record_lines import Answered, Lines, Outputs, Plain, Refusal, first
from .record_store import Sender

logger = logging.getLogger("uvicorn.error")  # the scoring server shows it, and no other

EVERY_SECONDS = 0.8  # so that writing is done before what is answered is a second old
# What waits to be written. Twice as much may be in memory while the last second's is being written.
MOST_REQUESTS = 50_000
MOST_BYTES = 32 * 2**20
# Each time: items whose features are recorded, and the time that may go into that; a large network takes long.
MOST_DESCRIBED = 160  # more say nothing new of what the traffic is like
BUSY_SECONDS = 0.08
LINGER_SECONDS = 60.0  # that a version which was replaced may still be answering
SENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

Count = Callable[[int, int], None]  # is told how many items were recorded and how many were lost since the last time

_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")  # of the request that is answered


class Recorder:
    """Records what one version serves in this process, from now on.

    Args:
        settings: Where, and how much.
        source: What answers, as a URI of MLflow.
        outputs: What is recorded of the answers.
        features: Gives what describes inputs; None where nothing does.
        repeats: Whether inputs are often the same as others, as rows of a few categories are.
        count: Whom to tell how much is recorded.
    """

    def __init__(
        self,
        settings: Settings,
        source: str,
        outputs: Outputs,
        features: Features | None,
        repeats: bool = False,
        count: Count | None = None,
    ) -> None:
        self._files, self._sender = files_of(settings)
        self._lines = Lines(source, outputs, features, repeats)
        self._outputs = outputs
        self._takes_inputs = features is not None
        self._share = settings.inputs
        self._count = count
        self._prefix, self._numbers = os.urandom(6).hex(), itertools.count()
        self._waiting: list[Answered | Refusal] = []
        # Of most requests nothing is noted but the answer.
        self._plain: deque[Plain] = deque()
        self._is_plain = list(outputs) == [""] and not self._share
        self._bytes = self._lost = 0  # of what waits; items for which there was no room
        self._wanted = self._affordable = MOST_DESCRIBED
        self._noting, self._writing = threading.Lock(), threading.Lock()
        self._problem = ""  # why not all is recorded at the moment
        self._ends = threading.Event()
        self._end = float("inf")  # of time.monotonic
        atexit.register(self.close)
        threading.Thread(target=self._run, name="traffic record", daemon=True).start()

    def begin(self, sent: str) -> str:
        """The id of the request that this context is about to answer: the one that was sent, if it can be one."""
        name = sent if sent and SENT_ID.fullmatch(sent) else self._new_id()
        _id.set(name)
        return name

    def answered(self, batches: list[np.ndarray], outputs: Any, seconds: float) -> None:
        """Notes that items were answered, which took that long until now.

        Args:
            batches: One of all items (N, ...), or one of each (1, ...).
            outputs: Those of the model, as served/model.py has them.
            seconds: That it took.
        """
        # Every microsecond here is one of a request's, and all that it touches is far away: the network has just run.
        items = len(batches) if len(batches) > 1 else len(batches[0])
        if self._wanted > 0 or not self._is_plain:
            self._look_at(items, batches, outputs, seconds)
        elif len(self._plain) < MOST_REQUESTS and self._bytes < MOST_BYTES:
            self._bytes += outputs.nbytes  # without the lock, as a bound it need not be exact
            self._plain.append((_id.get() or self._new_id(), time.time() - seconds, seconds, items, outputs))
        else:
            with self._noting:
                self._lost += items

    def _look_at(self, items: int, batches: list[np.ndarray], outputs: Any, seconds: float) -> None:
        """Notes items, some of which may be described, or kept as they are."""
        columns = {output: np.asarray(outputs[output] if output else outputs) for output in self._outputs}
        size = sum(column.nbytes for column in columns.values())
        is_kept = self._share > 0 and random.random() < self._share
        described = max(0, min(items, self._wanted))  # several threads at once may have taken too many
        self._wanted -= described
        inputs = batches if is_kept else first(batches, described) if self._takes_inputs else []
        more = sum(batch.nbytes for batch in inputs)
        name, began = _id.get() or self._new_id(), time.time() - seconds
        with self._noting:
            if len(self._waiting) >= MOST_REQUESTS or self._bytes + size > MOST_BYTES:
                self._lost += items
                return
            if self._bytes + size + more > MOST_BYTES:
                self._lost += items * is_kept
                inputs, more, is_kept = [], 0, False
            self._bytes += size + more
            self._waiting.append(Answered(name, began, seconds, items, columns, described, inputs, is_kept))

    def refused(self, kind: str, seconds: float) -> None:
        """Notes a request without an answer, by the reason, one of KINDS, which took that long until now."""
        name, began = _id.get() or self._new_id(), time.time() - seconds
        with self._noting:
            if len(self._waiting) >= MOST_REQUESTS:
                self._lost += 1
            else:
                self._waiting.append(Refusal(name, began, seconds, kind))

    def flush(self) -> None:
        """Writes what waits."""
        with self._writing:
            with self._noting:
                waiting, self._waiting = self._waiting, []
                plain = [self._plain.popleft() for _ in range(len(self._plain))]
                lost, self._bytes, self._lost = self._lost, 0, 0
                self._wanted = self._affordable
            problem = "it came faster than it can be written" if lost else ""
            items = sum(one.items if isinstance(one, Answered) else 1 for one in waiting)
            items += sum(items for *_, items, _ in plain)
            recorded = unsent = 0
            try:
                if items:
                    recorded, failure = self._files.append([*self._lines.of_plain(plain), *self._made(waiting)])
                    problem = problem or (str(failure) if failure else "")
                if self._sender is not None:
                    unsent = self._sender.tick(at_once=self._ends.is_set())
            except Exception as error:  # nothing of this may end the thread
                problem = f"{type(error).__name__}: {error}"
            if items or lost:
                self._tell(recorded, lost + items - recorded, problem)
            if unsent and self._count is not None:
                self._count(0, unsent)  # the sender says why

    def _made(self, waiting: list[Answered | Refusal]) -> list[Line]:
        """The lines for what waited. How long they take says how many features the next second may have."""
        started = time.thread_time()
        lines = list(self._lines.of(waiting))
        described = sum(one.features for one in waiting if isinstance(one, Answered))
        if described:
            each = (time.thread_time() - started) / described
            self._affordable = max(1, min(MOST_DESCRIBED, int(BUSY_SECONDS / max(each, 1e-6))))
        return lines

    def retire(self) -> None:
        """Ends the recording when the requests that this version is still answering are through."""
        self.flush()
        self._end = time.monotonic() + LINGER_SECONDS

    def close(self) -> None:
        """Writes what waits, and ends the recording; sending it may take some seconds."""
        self._ends.set()
        self.flush()
        if self._sender is not None:
            self._sender.close()

    def _new_id(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"

    def _tell(self, recorded: int, lost: int, problem: str) -> None:
        if self._count is not None and (recorded or lost):
            self._count(recorded, lost)
        if problem and not self._problem:
            logger.warning("Not all traffic is recorded, which model_traffic_lost counts: %s", problem)
        elif self._problem and not problem:
            logger.warning("All traffic is recorded again.")
        self._problem = problem

    def _prepare(self) -> None:
        """Makes the folder, which `monitor` may look for before the first request, or says at once why not."""
        with self._writing:
            try:
                self._files.prepare()
            except Exception as error:  # nothing of this may end the thread
                self._tell(0, 0, str(error) or type(error).__name__)

    def _run(self) -> None:
        self._prepare()  # here, as a file system of another machine may let nobody go on for long
        while not self._ends.wait(EVERY_SECONDS):
            self.flush()
            if time.monotonic() > self._end:
                atexit.unregister(self.close)  # or this process would keep the version
                self.close()


def files_of(settings: Settings) -> tuple[Files, Sender | None]:
    """What writes where the settings say, and what sends it on, where they name a store."""
    if not settings.store:
        return Files(settings.folder, settings.most_bytes), None
    spool = Spool(settings.folder, settings.most_bytes)
    return spool, Sender(settings.store, spool)


def source_of(name: str, version: str, model_id: str) -> str:
    """A model as a URI of MLflow: by name and version where it is registered, else by its own id; empty where it has
    none."""
    if name and version:
        return f"models:/{name}/{version}"
    return f"models:/{model_id}" if model_id else ""


def outputs_of(answer: dict[str, Any]) -> Outputs:
    """What is recorded of the answers that metadata describe: of probabilities the likeliest label, of numbers the
    number. Of pictures and the like there is nothing to be put in a row."""
    each = answer.get("answers", {"": answer})
    numbers: Outputs = {
        name: None for name, one in each.items() if one["writer"] == "numbers" and "value" in one.get("columns", ())[:1]
    }
    return {**answer.get("counted", {}), **numbers}

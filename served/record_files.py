"""Where the record of traffic is kept: a folder of files that only grow, and that are removed, the oldest first, once
they take more than is allowed."""

import contextlib
import itertools
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

logger = logging.getLogger("uvicorn.error")  # the scoring server shows it, and no other

MOST_BYTES = 1_000_000_000  # of the whole folder, where nothing is set
LEAST_BOUND = 1_000_000
# Nothing else in the folder is counted or removed: what an hour is called, and what there is of it.
HOUR = re.compile(r"\d{4}-\d\d-\d\dT\d\d")
HOUR_FORMAT = "%Y-%m-%dT%H"
# Shares of the bound: of a file until another one is begun, of what is written at once, of what a process writes until
# it looks at the folder again, of what makes it remove files, and of what it leaves. Other processes write meanwhile.
FILE, CHUNK, LOOK, MUCH, LEFT = 0.05, 0.05, 0.005, 0.85, 0.8
ATTEMPTS = 3  # at a file that others remove meanwhile


class Settings(NamedTuple):
    """What the environment says of the record.

    Attributes:
        folder: Where it is.
        most_bytes: That it may take, with what other processes have written.
        inputs: The share of requests whose raw inputs are kept, from 0 to 1.
    """

    folder: Path
    most_bytes: int
    inputs: float


class Line(NamedTuple):
    """A line of the record, with its end, and how many items are counted as recorded with it."""

    data: bytes
    items: int


def settings() -> Settings | None:
    """`TRAFFIC_DIR`, `TRAFFIC_BYTES` and `TRAFFIC_INPUTS`; None where nothing is to be recorded. What cannot be used is
    said in the log, and nothing is recorded."""
    folder = os.environ.get("TRAFFIC_DIR", "")
    if not folder:
        return None
    bound, share = os.environ.get("TRAFFIC_BYTES") or str(MOST_BYTES), os.environ.get("TRAFFIC_INPUTS") or "0"
    if "://" in folder:  # which may have a password in it
        logger.warning("No traffic is recorded: TRAFFIC_DIR must be a folder, it is an address of %s.", scheme(folder))
    elif not (bound.isdecimal() and int(bound) >= LEAST_BOUND):
        words = "No traffic is recorded: TRAFFIC_BYTES must be a whole number of at least %d, it is %r."
        logger.warning(words, LEAST_BOUND, bound)
    elif not 0 <= (inputs := as_number(share)) <= 1:
        logger.warning("No traffic is recorded: TRAFFIC_INPUTS must be a number from 0 to 1, it is %r.", share)
    else:
        return Settings(Path(folder).absolute(), int(bound), inputs)
    return None


def scheme(address: str) -> str:
    return address.partition("://")[0] + "://"


def as_number(text: str) -> float:
    """Not a number where it is none."""
    with contextlib.suppress(ValueError):
        return float(text)
    return float("nan")


class Files:
    """The files that this process writes, of which every hour has its own, below a folder that others share.

    Args:
        folder: Made where it is missing, also when somebody has removed it.
        most_bytes: That all files of the record in it may take.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most = most_bytes
        self._name = os.urandom(8).hex()
        self._full = 0  # files of this process that have become too large
        self._unseen = most_bytes  # bytes written since the folder was looked at; it never was
        self._torn = False  # whether the last line may not have its end

    def append(self, lines: Sequence[Line]) -> tuple[int, OSError | None]:
        """Writes lines at the end of a file, with one write unless they are many.

        Returns:
            How many items were recorded, and why it was not all of them.
        """
        recorded, problem, chunk, size = 0, None, list[Line](), 0
        for line in (*lines, None):
            if chunk and (line is None or size + len(line.data) > CHUNK * self._most):
                written, failure = self._written(chunk)
                recorded, problem, chunk, size = recorded + written, problem or failure, [], 0
            if line is None:
                break
            if len(line.data) > CHUNK * self._most:
                problem = OSError("a line is too large for TRAFFIC_BYTES")
                continue
            chunk.append(line)
            size += len(line.data)
        return recorded, problem

    def _written(self, chunk: list[Line]) -> tuple[int, OSError | None]:
        """How many items of a chunk stand in a file, in whole lines, and why not all of them."""
        # A line that could only be written in part gets its end first: no reader takes it for one with the next.
        data = b"\n" * self._torn + b"".join(line.data for line in chunk)
        self._unseen += len(data)
        size, problem = 0, None
        for _ in range(ATTEMPTS):
            try:
                path = self._path()
                if self._unseen > LOOK * self._most:
                    self._make_room(path)
                size, problem = _appended(path, data)
                break
            except FileNotFoundError as error:  # somebody else has removed the file or its folder meanwhile
                problem = error
            except OSError as error:
                problem = error
                break
        ends = list(itertools.accumulate((len(line.data) for line in chunk), initial=int(self._torn)))
        if size:
            self._torn = size not in ends
        return sum(line.items for line, end in zip(chunk, ends[1:], strict=True) if end <= size), problem

    def _path(self) -> Path:
        """The file for now. A large one is followed by another, so that there always is an old one to remove."""
        folder = self._folder / time.strftime(HOUR_FORMAT, time.gmtime())
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self._file
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > FILE * self._most:
                self._full += 1
        return folder / self._file

    @property
    def _file(self) -> str:
        return f"{self._name}-{self._full}.jsonl" if self._full else f"{self._name}.jsonl"

    def _make_room(self, own: Path) -> None:
        """Removes the oldest files, but not that one, until there is room again."""
        self._unseen = 0
        found = sorted(_found(self._folder))
        total = sum(size for *_, size, _ in found)
        for _, _, size, path in found if total > MUCH * self._most else []:
            if total <= LEFT * self._most:
                break
            if path != own and _removed(path):
                total -= size


def _appended(path: Path, data: bytes) -> tuple[int, OSError | None]:
    """Bytes that were written at the end of a file, and why not all.

    Raises:
        FileNotFoundError: The file is gone.
        OSError: It cannot be opened.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)  # Windows would end lines in its way
    descriptor = os.open(path, flags, 0o644)
    written = 0
    try:
        while written < len(data):  # one write, but where there is no room for all
            written += os.write(descriptor, data[written:])
    except OSError as error:
        return written, error
    finally:
        status = os.fstat(descriptor)
        os.close(descriptor)
    if status.st_nlink == 0:
        raise FileNotFoundError("it was removed while it was written")
    return written, None


def _found(folder: Path) -> Iterator[tuple[str, int, int, Path]]:
    """Hour, time of the last change in ns, bytes and path of each file of the record."""
    for entry in folder.iterdir():
        if not HOUR.match(entry.name):
            continue
        for path in [entry] if entry.name.endswith(".parquet") else entry.glob("*.jsonl"):
            with contextlib.suppress(OSError):  # somebody was faster
                status = path.stat()
                yield entry.name[:13], status.st_mtime_ns, status.st_size, path


def _removed(path: Path) -> bool:
    """Whether a file is gone."""
    try:
        path.unlink(missing_ok=True)
        if path.suffix == ".jsonl":
            path.parent.rmdir()  # unless there are more
    except OSError:
        return not path.exists()
    return True

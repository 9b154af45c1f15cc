"""Where the record of traffic is kept: a folder of files that only grow, and that are removed, the oldest first, once
they take more than is allowed. Where the record is in an object store, files stay there until they have been sent."""

import contextlib
import itertools
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .record_store import is_address, problem_of, spool_of

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
# Since a file of a spool has changed. Whoever wrote it would have begun another one long ago: that process has ended.
LEFT_SECONDS = 300.0


class Settings(NamedTuple):
    """What the environment says of the record.

    Attributes:
        folder: Where it is.
        most_bytes: That it may take, with what other processes have written.
        inputs: The share of requests whose raw inputs are kept, from 0 to 1.
        store: The address of the object store that files are sent to from the folder; empty where they stay. It may
            have a password in it.
    """

    folder: Path
    most_bytes: int
    inputs: float
    store: str = ""


class Line(NamedTuple):
    """A line of the record, with its end, and how many items are counted as recorded with it."""

    data: bytes
    items: int


def settings() -> Settings | None:
    """`TRAFFIC_DIR`, `TRAFFIC_BYTES` and `TRAFFIC_INPUTS`; None where nothing is to be recorded. What cannot be used is
    said in the log, and nothing is recorded."""
    place = os.environ.get("TRAFFIC_DIR", "")
    if not place:
        return None
    bound, share = os.environ.get("TRAFFIC_BYTES") or str(MOST_BYTES), os.environ.get("TRAFFIC_INPUTS") or "0"
    store = place if is_address(place) else ""
    if store and (problem := problem_of(store)):
        logger.warning("No traffic is recorded: TRAFFIC_DIR is an address, %s.", problem)
    elif not (bound.isdecimal() and int(bound) >= LEAST_BOUND):
        words = "No traffic is recorded: TRAFFIC_BYTES must be a whole number of at least %d, it is %r."
        logger.warning(words, LEAST_BOUND, bound)
    elif not 0 <= (inputs := as_number(share)) <= 1:
        logger.warning("No traffic is recorded: TRAFFIC_INPUTS must be a number from 0 to 1, it is %r.", share)
    else:
        return Settings(record_folder() or Path(), int(bound), inputs, store)
    return None


def record_folder() -> Path | None:
    """Where the record is on this machine, or waits to be sent; None where `TRAFFIC_DIR` is not set."""
    place = os.environ.get("TRAFFIC_DIR", "")
    if not place:
        return None
    return spool_of(place) if is_address(place) else Path(place).absolute()


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
        self.folder = folder
        self._most = most_bytes
        self._name = os.urandom(8).hex()
        self._full = 0  # files of this process that have become too large
        self._unseen = most_bytes  # bytes written since the folder was looked at; it never was
        self._torn = False  # whether the last line may not have its end
        self._current: Path | None = None  # what was written last

    def prepare(self) -> None:
        """Makes the folder, for whoever looks into it before anything was written.

        Raises:
            OSError: That is not possible, or nothing can be written there.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"{self.folder} is a file, expected a folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(self.folder, os.W_OK):
            raise PermissionError(f"{self.folder} is not to be written by this user")

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
        recorded = sum(line.items for line, end in zip(chunk, ends[1:], strict=True) if end <= size)
        if size:
            self._torn = size not in ends
            self._note(path, recorded)
        return recorded, problem

    def _note(self, path: Path, items: int) -> None:
        """Notes that there are so many items more in a file."""
        self._current = path

    def _path(self) -> Path:
        """The file for now. A large one is followed by another, so that there always is an old one to remove; so is one
        that somebody has removed: what it had may be known under its name elsewhere, packed or sent."""
        folder = self.folder / time.strftime(HOUR_FORMAT, time.gmtime())
        folder.mkdir(parents=True, exist_ok=True)
        if self._current == folder / self._file and not 0 <= _size(self._current) <= FILE * self._most:
            self._full += 1
        return folder / self._file

    @property
    def _file(self) -> str:
        return f"{self._name}-{self._full}.jsonl" if self._full else f"{self._name}.jsonl"

    def _make_room(self, own: Path) -> None:
        """Removes the oldest files, but not that one, until there is room again."""
        self._unseen = 0
        found = sorted(_found(self.folder))
        total = sum(size for *_, size, _ in found)
        for _, _, size, path in found if total > MUCH * self._most else []:
            if total <= LEFT * self._most:
                break
            if path != own and _removed(path):
                total -= size


class Spool(Files):
    """Files that wait to be sent: this process begins another one now and then, and takes away what is whole.

    One thread writes and closes, another one may look at what waits and take it away meanwhile.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        super().__init__(folder, most_bytes)
        self._items = 0  # in the file that was written last
        self._whole: dict[Path, int] = {}  # files of this process that are not written any more, and the items in each

    def close(self) -> None:
        """Nothing more is written to the file of now."""
        if self._current is not None:
            self._finish()
            self._full += 1

    def waiting(self) -> list[Path]:
        """What can be sent, the oldest first. What processes have left that were killed is among it."""
        before = time.time_ns() - int(LEFT_SECONDS * 1e9)
        left = []
        with contextlib.suppress(FileNotFoundError):  # nothing was written yet
            left = [
                path
                for _, changed, _, path in _found(self.folder)
                if path.suffix == ".jsonl" and changed < before and not path.name.startswith(self._name)
            ]
        return sorted([*left, *(path for path in list(self._whole) if path.exists())])

    def sent(self, path: Path) -> None:
        """Takes away what has arrived."""
        self._whole.pop(path, None)  # first, or it would be taken for lost
        _removed(path)

    def lost(self) -> int:
        """Items of this process that were removed to make room before they were sent, since the last time. Others that
        send the files of a process which has failed to for LEFT_SECONDS are not told apart from that."""
        gone = [path for path in list(self._whole) if not path.exists()]
        return sum(self._whole.pop(path, 0) for path in gone)

    def _finish(self) -> None:
        if self._current is not None:
            self._whole[self._current] = self._items
        self._current, self._items = None, 0

    def _note(self, path: Path, items: int) -> None:
        if path != self._current:
            self._finish()
        self._current = path
        self._items += items

    def prepare(self) -> None:
        """Makes the folder, which only this user can look into.

        Raises:
            OSError: That is not possible, or it is somebody else's.
        """
        _make_private(self.folder.parent)
        super().prepare()

    def _path(self) -> Path:
        _make_private(self.folder.parent)
        return super()._path()


def _make_private(folder: Path) -> None:
    """Makes a folder that only this user can look into.

    Raises:
        OSError: That is not possible, or it is somebody else's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.lstat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else; set TMPDIR to another folder")


def _size(path: Path) -> int:
    """Bytes of a file, -1 where there is none."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return -1


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

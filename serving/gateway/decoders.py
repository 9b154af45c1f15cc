"""Reads files in processes of their own: whatever a file makes a decoder do, it has an end.

A process has a limit on its memory (where the operating system knows one) and on the time for a file, after which it is
killed and replaced. Files that take long have a process to themselves, so that the others need not wait for them.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import numpy as np

from forms.item import Item, ItemError, Shape, read
from serving.server import allowed_environment

SECONDS = 10.0  # for a file; what is accepted takes about one on an idle machine
MEMORY_BYTES = 2**30  # of addresses; without a file it is a quarter of that
QUICK_WORK = 2 * 10**8  # a JPEG from a camera, a PNG of 4 megapixels, or a volume of 7 million voxels; see Item.work
PROCESSES = {"quick": 2, "slow": 1}
PLACES = {"quick": 100, "slow": 2}  # uploads that may wait or be decoded; each holds a thread of the server
BUSY = "Too many large {noun}s at once. Try again in a few seconds."
TOO_COSTLY = "Decoding the {noun} takes {needs}. {smaller}"
TOO_LONG, TOO_MUCH_MEMORY = f"more than {SECONDS:.0f} seconds", "too much memory"
ENDED = "The {noun} cannot be decoded."
ROOT = Path(__file__).resolve().parents[2]
# Ctrl-C in a terminal is for the gateway, which ends its decoders.
OWN_GROUP: dict[str, Any] = {"process_group": 0}
if sys.platform == "win32":
    OWN_GROUP = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}


class BusyError(Exception):
    """There are too many files to decode; the message is for the person who sent one more."""


class Decoders:
    """Turns uploads into items as the form's `file` does. Used as a context, at whose end they end."""

    def __init__(self) -> None:
        self._lanes = {name: _Lane(PROCESSES[name], PLACES[name]) for name in PROCESSES}

    def __enter__(self) -> Decoders:
        self._lanes["quick"].decoders[-1].start()  # the others when they are needed
        return self

    def __exit__(self, *_: object) -> None:
        for lane in self._lanes.values():
            for decoder in lane.decoders:
                decoder.stop()

    def read(self, data: bytes, shape: Shape, item: Item) -> np.ndarray:
        """As the form's `file`.

        Raises:
            ItemError: As there, and where decoding takes too long or ends the process.
            BusyError: Too many others are being decoded.
        """
        lane = self._lanes["quick" if item.work(data) <= QUICK_WORK else "slow"]
        return lane.read(data, shape, item)


class _Lane:
    """A few decoders, and the uploads that wait for one."""

    def __init__(self, processes: int, places: int) -> None:
        self.decoders = [_Decoder() for _ in range(processes)]
        self._free: queue.LifoQueue[_Decoder] = queue.LifoQueue()  # the one that ran last is up for sure
        for decoder in self.decoders:
            self._free.put(decoder)
        self._places = threading.Semaphore(places)

    def read(self, data: bytes, shape: Shape, item: Item) -> np.ndarray:
        if not self._places.acquire(blocking=False):
            raise BusyError(BUSY.format(noun=item.noun))
        try:
            decoder = self._free.get(timeout=SECONDS)
            try:
                return decoder.read(data, shape, item)
            finally:
                self._free.put(decoder)
        except queue.Empty:
            raise BusyError(BUSY.format(noun=item.noun)) from None
        finally:
            self._places.release()


class _Decoder:
    """A process that decodes one file at a time. It is started when it is needed, and again when it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            # Without our secrets, should a file get the better of a decoder; each thread takes addresses.
            env=allowed_environment(str(ROOT)) | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **OWN_GROUP,
        )

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            with contextlib.suppress(OSError), self._process:  # waits, and closes the pipes
                pass
            self._process = None

    def read(self, data: bytes, shape: Shape, item: Item) -> np.ndarray:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self.start()
        process = self._process
        assert process
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(SECONDS, expire)
        timer.start()
        try:
            return _exchanged(process, data, shape, item)
        except (EOFError, OSError):  # the process has ended
            if expired.is_set():
                raise _too_costly(item, TOO_LONG) from None
            raise ItemError(ENDED.format(noun=item.noun), item.unreadable) from None
        finally:
            timer.cancel()
            timer.join()
            if expired.is_set() or process.poll() is not None:
                self.stop()
                self.start()


def _exchanged(process: subprocess.Popen[bytes], data: bytes, shape: Shape, item: Item) -> np.ndarray:
    """What the process makes of a file.

    Raises:
        ItemError: As the form's `file`.
        EOFError, OSError: The process ended.
    """
    assert process.stdin and process.stdout
    _send(process.stdin, {"shape": shape, "item": item.metadata()}, data)
    words, values = _received(process.stdout)
    if "error" in words:
        raise ItemError(words["error"], words["kind"])
    return np.frombuffer(values, words["dtype"]).reshape(words["shape"])


def _too_costly(item: Item, needs: str) -> ItemError:
    return ItemError(TOO_COSTLY.format(noun=item.noun, needs=needs, smaller=item.smaller), item.unreadable)


def _send(pipe: IO[bytes], words: dict[str, Any], data: bytes) -> None:
    """A line of JSON, and the bytes that it announces."""
    pipe.write(json.dumps(words | {"bytes": len(data)}).encode() + b"\n" + data)
    pipe.flush()


def _received(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """
    Raises:
        EOFError: The other side ended.
    """
    words = json.loads(pipe.readline() or "{}")
    data = pipe.read(words.get("bytes", 0))
    if len(data) != words.get("bytes"):
        raise EOFError
    return words, data


def main() -> None:
    """Decodes what comes, until the gateway ends."""
    if sys.platform != "win32":
        import resource

        with contextlib.suppress(ValueError):  # there is a lower limit already, or none can be set, as on macOS
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            words, data = _received(sys.stdin.buffer)
            try:
                values = _decoded(data, words)
            except ItemError as error:
                _send(sys.stdout.buffer, {"error": str(error), "kind": error.kind}, b"")
            else:
                _send(sys.stdout.buffer, {"shape": values.shape, "dtype": values.dtype.str}, values.tobytes())


def _decoded(data: bytes, words: dict[str, Any]) -> np.ndarray:
    item = read(words["item"])
    try:
        return item.file(data, tuple(words["shape"]))
    except MemoryError:
        raise _too_costly(item, TOO_MUCH_MEMORY) from None


if __name__ == "__main__":
    main()

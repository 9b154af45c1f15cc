"""Asked to stop, a step tidies up first: its runs end KILLED, its processes with it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

_asked = threading.Event()
_heard = threading.Event()  # a signal asked for it, also where it will ask again because Python could only print that
_held = threading.Event()  # a request to stop waits
_waiting = threading.Event()  # one does


def asked_to_stop() -> bool:
    """Whether a signal asked for it. An exception after that may be what a library made of the KeyboardInterrupt."""
    return _heard.is_set()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Inside, SIGINT, unless it is ignored, and SIGTERM raise KeyboardInterrupt.

    A SIGTERM that follows does not cut the tidying up short; Ctrl-C pressed again does. Raised while Python does away
    with an object, a KeyboardInterrupt would only be printed, so it is raised again a moment later.
    """
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    handlers = {number: signal.signal(number, _interrupt) for number in numbers}
    report = sys.unraisablehook

    def unraisable(caught: Any) -> None:
        if caught.exc_type is KeyboardInterrupt:
            _asked.clear()
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()
        else:
            report(caught)

    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        for state in (_asked, _heard, _held, _waiting):
            state.clear()
        sys.unraisablehook = report
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def postponed(wait: bool = True) -> Iterator[None]:
    """Inside, a request to stop waits for the end, or for `postponed(False)`, inside which it is heard at once.

    Around what must not be left half done: a run between being there and being known to whoever ends it. Ctrl-C pressed
    again does not wait.
    """
    before = _held.is_set()
    _hold(wait)
    try:
        yield
    finally:
        _hold(before)


def _hold(wait: bool) -> None:
    if wait:
        _held.set()
        return
    _held.clear()
    if _waiting.is_set():
        _waiting.clear()
        raise KeyboardInterrupt


def _interrupt(number: int, _: object) -> None:
    again = _asked.is_set()
    if number == signal.SIGTERM and again:
        return
    _asked.set()
    _heard.set()
    if _held.is_set() and not again:
        _waiting.set()
        return
    raise KeyboardInterrupt

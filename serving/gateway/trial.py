"""A version is loaded in a process of its own before it is loaded here, where it may not end, hang or crash.

Run as a script, it is that process: it has the model's folder and the file for its report as arguments.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

LOADED = "loaded"
MOST_WORDS = 1000  # characters of a version's error


class TrialError(Exception):
    """The version did not load; the message says what it did instead."""


def try_to_load(folder: Path, seconds: float) -> None:
    """Loads the model in `folder` in a process of its own, which ends with it and with this process.

    Raises:
        TrialError: It did not load there, or not within `seconds`.
    """
    with tempfile.TemporaryDirectory() as place:  # its working directory, too
        report = Path(place, "report")
        # -P: the folder of this file is no place to import from.
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(folder.resolve()), str(report)],
            cwd=place,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TrialError(f"it is not ready after {seconds:.0f} s") from None
        finally:
            kill(process)
            assert process.stdin
            process.stdin.close()
        words = report.read_text(errors="replace") if report.exists() else how_it_ended(code)
    if words != LOADED:
        raise TrialError(words)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process that leads a group of its own, with all that it started, and waits for its end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: nothing but processes that have ended
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def how_it_ended(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process was ended by signal {-code}"


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # until the parent is gone
    os._exit(1)


def _load(folder: str) -> str:
    try:
        from mlflow.pyfunc import load_model

        load_model(folder)
    except BaseException as error:  # also sys.exit
        return f"{type(error).__name__}: {error}"[:MOST_WORDS]
    return LOADED


def main() -> None:
    folder, report = sys.argv[1:]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    Path(report).write_text(_load(folder), errors="replace")
    os._exit(0)  # a thread that the version left behind would keep the process


if __name__ == "__main__":
    main()

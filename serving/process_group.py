"""A process that ends together with all that it started, also when this process is killed; on POSIX and on Windows."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

STOP_TIMEOUT_SECONDS = 10


@contextlib.contextmanager
def process_group(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a process in a group of its own, and ends the whole group with the `with` block at the latest.

    Args:
        command: Starts it.
        **options: Of `subprocess.Popen`.
    """
    process = subprocess.Popen(command, **options, **_OWN_GROUP)
    # The guard ends the group once its standard input is closed: by us, or by the operating system when we were killed.
    guard = subprocess.Popen(_guard_of(process.pid), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, **_OWN_GROUP)
    try:
        yield process
    finally:
        guard.communicate()
        _wait_for_end(process)


if sys.platform == "win32":
    # Windows knows no request to stop that every program would hear, so the guard ends the processes by force.
    _OWN_GROUP: dict[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    _GUARD = """
import sys, psutil
sys.stdin.read()
process = psutil.Process(int(sys.argv[1]))
for one in [*process.children(recursive=True), process]:
    one.kill()
"""

    def _guard_of(pid: int) -> list[str]:
        return [sys.executable, "-c", _GUARD, str(pid)]

    def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_SECONDS)
        process.kill()

else:
    # A session of its own has one number, by which all in it are ended, those too whose parent has ended before.
    _OWN_GROUP: dict[str, Any] = {"start_new_session": True}

    def _guard_of(pid: int) -> list[str]:
        return ["sh", "-c", f"cat; kill -TERM -{pid}"]

    def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
        """Waits for the end of all in the group, and ends by force those that were asked and did not end."""
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: nothing but processes that have ended
            while time.monotonic() < deadline:
                process.poll()  # takes note of its end, or it would count as one of its group for ever
                os.killpg(process.pid, 0)
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

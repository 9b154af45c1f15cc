"""A folder of a process's own for its temporary files, and a lock that is held for as long as the process lives.

The operating system releases the lock however the process ends, by `kill -9` too. So whoever comes next on the same
machine can tell which processes are dead, and remove what they left behind.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import getpass
import os
import re
import shutil
import tempfile
import uuid
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.contract import UserError


@functools.cache  # once for a process
def use_own_folder() -> None:
    """Makes Python's temporary files, those of libraries too, go to a folder that is removed when this process ends.

    With it goes what TensorFlow would leave in the temporary folder after every training. What killed processes left
    is removed at once.
    """
    root, name = _root(), process_id().split("/")[1]
    remove_the_dead(root)
    folder = root / name
    folder.mkdir()
    tempfile.tempdir = str(folder)
    # TensorFlow removes its own files when the process ends. It registers that later, so it is done earlier than this.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


@functools.cache
def process_id() -> str:
    """What this process is known by, `<machine>/<process>`. Unlike a process number, it is never used again."""
    root, name = _root(), uuid.uuid4().hex[:12]
    lock = FileLock(_lock_of(root, name), thread_local=False)
    lock.acquire()
    atexit.register(_let_go, lock)
    return f"{_machine(root)}/{name}"


def has_ended(process: str) -> bool | None:
    """Whether the process of that id has ended; None for a process of another machine, of which nobody here knows."""
    machine, _, name = process.partition("/")
    root = _root()
    if machine != _machine(root):
        return None
    path = _lock_of(root, name)
    return not path.exists() or _is_free(path)


def remove_the_dead(root: Path) -> None:
    """Removes the folders of processes that have ended, and their locks."""
    for path in root.glob("*.alive"):
        # Removed while it is held: a process that is about to take a new lock then notices, and makes another file.
        with contextlib.suppress(Timeout), FileLock(path, timeout=0):
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            _remove(path)


@functools.cache
def _root() -> Path:
    """The folder that all processes of this user on this machine share.

    Raises:
        UserError: It cannot be made, or it is another user's.
    """
    advice = "Set TMPDIR to a folder that you can write."
    try:
        root = Path(tempfile.gettempdir(), f"dl-lifecycle-{_user()}")
    except FileNotFoundError as error:  # it has tried them all
        raise UserError(f"There is no folder for temporary files: {error.strerror}. {advice}") from error
    try:
        root.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UserError(f"The temporary folder {root} cannot be made: {error.strerror}. {advice}") from error
    if hasattr(os, "getuid") and root.stat().st_uid != os.getuid():
        raise UserError(f"The temporary folder {root} belongs to somebody else. {advice}")
    return root


def _user() -> str:
    """This user's name as a part of a folder's name.

    In a container above all, a user may have no name. The number stands for it then, and so it does for MLflow, which
    asks for the name with every run.
    """
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # the second from Python 3.13 on
        name = os.environ["LOGNAME"] = str(os.getuid() if hasattr(os, "getuid") else 0)
    return re.sub(r"[^\w.-]", "_", name)


@functools.cache
def _machine(root: Path) -> str:
    """What this machine is known by.

    It is made once and kept beside the locks. So a container, which has a temporary folder of its own, counts as a
    machine of its own.
    """
    path = root / "machine"
    with FileLock(root / "machine.lock"):
        if not path.exists():
            new = root / "machine.new"
            new.write_text(uuid.uuid4().hex)
            new.replace(path)  # whole or not at all, also on a full disk
        return path.read_text()


def _lock_of(root: Path, name: str) -> Path:
    return root / f"{name}.alive"


def _is_free(path: Path) -> bool:
    """Whether nobody holds a lock."""
    try:
        with FileLock(path, timeout=0):
            return True
    except Timeout:
        return False


def _let_go(lock: FileLock) -> None:
    _remove(Path(lock.lock_file))
    lock.release()


def _remove(path: Path) -> None:
    """Removes a lock's file; Windows refuses that while the lock is held, and the file then stays for the next one."""
    with contextlib.suppress(OSError):
        path.unlink()

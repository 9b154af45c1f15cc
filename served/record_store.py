"""The record of traffic in an object store: what is written on this machine is sent there, file by file, by a thread
that nobody waits for.

An address is one that MLflow keeps artifacts at, and credentials are set as for these. MLflow is asked for nothing
else, and only where the record is in a store.
"""

import concurrent.futures.thread
import contextlib
import hashlib
import importlib.util
import logging
import os
import re
import tempfile
import threading
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .verdicts import VERDICTS

if TYPE_CHECKING:
    from .record_files import Spool

logger = logging.getLogger("uvicorn.error")  # the scoring server shows it, and no other

SEND_SECONDS = 60.0  # until another file is begun, and the last one sent
END_SECONDS = 5.0  # that the end of the process may wait for what is left to be sent
MOST_CHARACTERS = 300  # of what a store's client says
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")  # one letter would be a drive of Windows
# What MLflow imports for an address, and does not require itself.
PACKAGES = {
    "s3": "boto3",
    "gs": "google.cloud.storage",
    "wasbs": "azure.storage.blob",
    "abfss": "azure.storage.filedatalake",
}


class Sender:
    """Sends the files of a spool, as they become whole, from now on.

    Args:
        address: Of the store.
        spool: Where they wait.
    """

    def __init__(self, address: str, spool: "Spool") -> None:
        self._address = address
        self._spool = spool
        self._next = time.monotonic() + SEND_SECONDS
        self._failed: set[Path] = set()  # what could not be sent the last time it was tried
        self._problem = ""  # why not all is sent at the moment
        self._is_read = True  # whether the store could be read the last time
        self._due, self._ends = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic sender", daemon=True)
        self._thread.start()

    def tick(self, at_once: bool) -> int:
        """Has what was written so far sent, every SEND_SECONDS or at once. Nobody may write meanwhile.

        Returns:
            How many items of this process had to make room, since the last time, before they were sent.
        """
        if time.monotonic() < self._next and not at_once:
            return 0
        self._next = time.monotonic() + SEND_SECONDS
        self._spool.close()
        self._due.set()
        return self._spool.lost()

    def close(self) -> None:
        """Ends the sending, with what waits now as far as END_SECONDS allow it. Only the first time does anything."""
        if self._ends.is_set():
            return
        self._ends.set()
        self._due.set()
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            words = "Not all that was served has been sent to %s. The next server on this machine sends the rest."
            logger.warning(words, plain(self._address))
            _let_go()

    def _run(self) -> None:
        ends = False
        while not ends:
            self._due.wait()
            self._due.clear()
            ends = self._ends.is_set()
            try:
                self._send()
            except Exception as error:  # nothing of this may end the thread before
                self._tell(plain(f"{type(error).__name__}: {error}"))
            if not ends:
                self._take_verdicts()

    def _send(self) -> None:
        """Sends what waits until something cannot be sent. That is the last to be tried the next time, so that it does
        not hold up others for ever."""
        waiting = self._spool.waiting()
        self._failed.intersection_update(waiting)
        problem, repository = "", None
        for path in sorted(waiting, key=lambda path: path in self._failed):
            try:
                repository = repository or repository_of(self._address)
                repository.log_artifact(str(path), path.parent.name)
            except Exception as error:  # whatever the store's client raises
                if not path.exists():  # it had to make room, or another process was faster
                    continue
                self._failed.add(path)
                problem = plain(f"{type(error).__name__}: {error}")
                break
            self._spool.sent(path)
        if waiting:
            self._tell(problem)

    def _take_verdicts(self) -> None:
        """Brings here what `monitor` has left there, for verdicts.py to tell."""
        try:
            repository = repository_of(self._address)
            for file in repository.list_artifacts():
                if fnmatch(file.path, VERDICTS):
                    self._spool.prepare()
                    repository.download_artifacts(file.path, str(self._spool.folder))
            self._is_read = True
        except Exception as error:  # whatever the store's client raises; the credentials may be to write, and no more
            if self._is_read:
                words = "What monitor has found is not told, it cannot be read from %s: %s"
                logger.warning(words, plain(self._address), plain(f"{type(error).__name__}: {error}"))
            self._is_read = False

    def _tell(self, problem: str) -> None:
        place = plain(self._address)
        if problem and not self._problem:
            words = "What was served cannot be sent to %s. It is tried again, and kept here while there is room: %s"
            logger.warning(words, place, problem)
        elif self._problem and not problem:
            logger.warning("What was served is sent to %s again.", place)
        self._problem = problem


def is_address(place: str) -> bool:
    """Whether a place is the address of a store, and no folder."""
    return ADDRESS.match(place) is not None


def problem_of(address: str) -> str:
    """Why nothing can be kept at an address from here, in words that name no more of it than its scheme; empty where it
    can, as far as is known without asking."""
    scheme = address.partition(":")[0]
    try:
        from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories
    except ImportError:
        return f"and for {scheme}: mlflow is needed, which is not installed here; name a folder"
    known = get_registered_artifact_repositories()
    if scheme not in known:
        return f"and must be one of {', '.join(sorted(filter(None, known)))}, not of {scheme}"
    package = PACKAGES.get(scheme)
    if package and not _is_installed(package):
        return f"and for {scheme}: the Python package {package} is needed, which is not installed here"
    return ""


def repository_of(address: str) -> Any:
    """MLflow's way to a store, an ArtifactRepository.

    Raises:
        Exception: Whatever the store's client says.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(address)


def plain(text: str) -> str:
    """An address, or what was said of one, in a line without users, passwords and signatures."""
    line = re.sub(r"(?<=//)\S*@", "", " ".join(text.split()))
    return re.sub(r"\?[^\s'\"]+", "", line)[:MOST_CHARACTERS]


def spool_of(address: str) -> Path:
    """The folder in which what is for an address waits, the same for all of a user's processes on this machine."""
    user = os.getuid() if hasattr(os, "getuid") else "own"  # on Windows every user has a folder of temporary files
    return _temporary() / f"traffic-{user}" / hashlib.sha256(address.encode()).hexdigest()[:12]


def _temporary() -> Path:
    """The machine's folder for temporary files. Python's may have been set to one that ends with its process."""
    kept, tempfile.tempdir = tempfile.tempdir, None
    try:
        return Path(tempfile.gettempdir())
    finally:
        tempfile.tempdir = kept


def _is_installed(package: str) -> bool:
    with contextlib.suppress(ImportError):  # not even what it is a part of
        return importlib.util.find_spec(package) is not None
    return False


def _let_go() -> None:
    """Has Python not wait, before it ends, for threads that hang. Clients of stores send in threads of executors, and
    these Python does wait for, also where they were begun by a thread that it would not wait for."""
    awaited: Any = getattr(concurrent.futures.thread, "_threads_queues", {})
    for thread in list(awaited):
        if thread.daemon:
            awaited.pop(thread, None)

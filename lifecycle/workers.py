"""Work in processes of their own, several at once where the machine has the cores."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

import psutil

from lifecycle.errors import StepError
from lifecycle.interruption import interruptible
from lifecycle.runs import failure_of
from lifecycle.terminal import import_keras, set_up_logging
from lifecycle.training import Part, train
from lifecycle.workplace import use_own_folder
from served import machine
from tasks.contract import Config, get_task

BYTES_EACH = 2.2e9  # of memory, for TensorFlow and a small network with its data
GRACE_SECONDS = 10
Item = TypeVar("Item")
Result = TypeVar("Result")
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """One train run to do.

    Attributes:
        task: Name of the task.
        config: What to train.
        part: The study it belongs to.
    """

    task: str
    config: Config
    part: Part


@dataclass(frozen=True)
class Done:
    """One train run that ended.

    Attributes:
        job: What it was.
        seconds: What it took, without starting the process.
        failure: The reason in one line, empty where it did not fail.
    """

    job: Job
    seconds: float
    failure: str


def at_once(jobs: int) -> int:
    """How many of so many train runs to do at once: one a core, as far as the memory reaches. Small networks leave a
    second core idle most of the time. A GPU is one machine, whose memory TensorFlow takes as a whole."""
    if _has_gpu():
        return 1
    bytes_left = min(psutil.virtual_memory().available, machine.memory())
    return max(1, min(jobs, machine.cpus(), int(bytes_left / BYTES_EACH)))


def run_all(work: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Generator[Result]:
    """Works on all items in new processes, and gives each result as it is there. The cores are divided among them.

    Args:
        work: A function of a module.
        items: Begun in this order.
        processes: How many at once.

    Raises:
        StepError: A process was killed, by the system for want of memory most likely.
    """
    pool = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),  # TensorFlow does not survive a fork
        initializer=_start,
        initargs=(max(1, machine.cpus() // processes),),
    )
    try:
        for future in as_completed([pool.submit(_call, work, item) for item in items]):
            yield future.result()
    except BrokenProcessPool as error:
        _see_off(multiprocessing.active_children())
        raise StepError(
            "A training process was killed; was there too little memory? Run the same command again: what has finished "
            "is kept. With -P jobs=1 only one runs at a time."
        ) from error
    except BaseException:  # this process is to end, and the runs in hand with it
        _see_off(multiprocessing.active_children())
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def train_job(job: Job) -> Done:
    """One train run; whatever goes wrong in it is its result."""
    started = time.perf_counter()
    failure = ""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the study has its own lines
            train(get_task(job.task), job.config, part=job.part)
    except Exception as error:  # the other runs of the study are not to blame
        failure = failure_of(job.part.variant, error)
    return Done(job, time.perf_counter() - started, failure)


def _call(work: Callable[[Item], Result], item: Item) -> Result:
    """Asked to stop, `work` hears of it as of Ctrl-C, tidies up, and the process ends."""
    try:
        with interruptible():
            return work(item)
    except KeyboardInterrupt:
        os._exit(130)  # the pool would go on with the next item


def _see_off(processes: Sequence[multiprocessing.process.BaseProcess]) -> None:
    """Asks them to end, and ends those by force that take too long, or all where Ctrl-C is pressed again."""
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            process.kill()


def _has_gpu() -> bool:
    return any(os.path.exists(f"/dev/{name}") for name in ("nvidia0", "kfd"))  # noqa: PTH110


def _start(threads: int) -> None:
    """Prepares a new process, before anything heavy is imported."""
    for name in THREADS:
        os.environ[name] = str(threads)
    set_up_logging()
    use_own_folder()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one tells the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import_keras()


def _end_with_parent() -> None:
    """When whoever wants the result is gone, however it went, there is no use in going on."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)

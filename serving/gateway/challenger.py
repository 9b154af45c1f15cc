"""A challenger answers in a process of its own, and whatever it does there, the champion does not notice.

The process gets the machine's time that nobody else wants, a limit on its memory and on the time for a batch; whoever
leads it kills it with all that it started. It is told what the champion answered and says only how that compares, so
little comes back, and nothing of it is run.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from forms.answer import Answer, read
from forms.outputs import Outputs, each
from served.machine import memory
from serving.gateway.decoders import OWN_GROUP
from serving.gateway.trial import MOST_WORDS, how_it_ended, kill
from serving.server import allowed_environment

AGREED, DIFFERED, FAILED, SKIPPED = OUTCOMES = ("agreed", "differed", "failed", "skipped")
SAID = (AGREED, DIFFERED, FAILED)  # by the process, of each item that it is asked about
# Of wall-clock time, which passes while others have the CPU.
LOAD_SECONDS = 180.0
BATCH_SECONDS = 30.0
MOST_MEMORY = 4 * 2**30  # bytes, of the process's own; less where that is more than half of the machine's
MOST_SAID = 20_000  # bytes of what it says to a batch
READY = "ready"
ROOT = Path(__file__).resolve().parents[2]
TEMPORARY = ("TMPDIR", "TEMP", "TMP")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Pair = tuple[Any, Outputs]  # an item, and what the champion answered (...)


class ChallengerError(Exception):
    """The process has ended, by itself or because it had to; the message says why."""


class Challenger:
    """A registered version in a process of its own, which is started by `load`, and again after it has ended.

    One thread asks it; any thread may end it.

    Args:
        version: Of the registered model.
        answer: The form of its answers.
        model: The folder of its files.
        home: Its working directory and home.
    """

    def __init__(self, version: str, answer: Answer, model: Path, home: Path) -> None:
        self.version = version
        self.answer = answer
        self._model = model
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._is_dismissed = False
        self._starting = threading.Lock()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def load(self) -> None:
        """Starts the process, and waits until it can answer.

        Raises:
            ChallengerError: It cannot, or it was dismissed.
        """
        self.end()
        with self._starting:
            if self._is_dismissed:
                raise ChallengerError("it was dismissed")
            self._process = self._started()
        said = self._told((str(self._model), self.answer.metadata()), LOAD_SECONDS)
        if said != READY:
            raise ChallengerError(_words(said))

    def outcomes(self, batch: Sequence[Pair]) -> list[str]:
        """How its answers compare with the champion's, of SAID for each item.

        Raises:
            ChallengerError: It did not say that in time.
        """
        said = self._told(list(batch), BATCH_SECONDS)
        if not isinstance(said, list) or len(said) != len(batch) or any(one not in SAID for one in said):
            raise ChallengerError(_words(said))
        return said

    def end(self) -> None:
        """Ends the process, for whoever asks it."""
        if self._process is not None:
            kill(self._process)
            with contextlib.suppress(OSError), self._process:  # closes the pipes
                pass
            self._process = None

    def dismiss(self) -> None:
        """Ends the process for good, also while another thread asks it."""
        with self._starting:
            self._is_dismissed = True
            if (process := self._process) is not None:
                kill(process)

    def _started(self) -> subprocess.Popen[bytes]:
        options = dict(OWN_GROUP)  # not a session: Linux may share out its CPUs by session, and then by priority
        if sys.platform == "win32":
            options["creationflags"] |= subprocess.IDLE_PRIORITY_CLASS
        return subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            cwd=self._home,
            env=allowed_environment(str(self._home)) | self._variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **options,
        )

    def _variables(self) -> dict[str, str]:
        """Of its environment; temporary files of a process that is killed stay behind, and go with its home."""
        return {"PYTHONPATH": str(ROOT)} | ONE_THREAD | dict.fromkeys(TEMPORARY, str(self._home))

    def _told(self, message: Any, seconds: float) -> Any:
        """What the process says to a message; None for what is no JSON, or too much.

        Raises:
            ChallengerError: It ended, or did not answer in time.
        """
        process = self._process
        assert process and process.stdin and process.stdout
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            kill(process)

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            pickle.dump(message, process.stdin, pickle.HIGHEST_PROTOCOL)  # of our own making, and Python's own reader
            process.stdin.flush()
            if line := process.stdout.readline(MOST_SAID):
                return json.loads(line)
        except OSError:  # it has ended
            pass
        except (ValueError, RecursionError):
            return None
        finally:
            timer.cancel()
        kill(process)
        raise ChallengerError(f"no answer within {seconds:.0f} s" if expired.is_set() else how_it_ended(process.wait()))


def _words(said: Any) -> str:
    """Why it failed, as it says itself."""
    is_told = isinstance(said, dict) and isinstance(said.get("error"), str)
    return str(said["error"])[:MOST_WORDS] if is_told else "it said something else than how answers compare"


def main() -> None:
    """Loads the version that it is told about, and compares its answers with the champion's, until the gateway ends."""
    try:
        asked, said = _own_pipes()
        _step_back()
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_receive, args=(asked, waiting), daemon=True).start()
        _serve(waiting, said)
    finally:
        os._exit(1)  # a thread that the version left behind would keep the process


def _own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Those to and from the gateway, which are from now on nothing that the version can read or print."""
    asked, said = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return asked, said


def _step_back() -> None:
    """Leaves CPU and memory to others."""
    if sys.platform == "win32":
        return
    import resource

    os.nice(19)
    most = min(MOST_MEMORY, memory() // 2, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    with contextlib.suppress(ValueError, OSError):  # there is a lower limit already, or none can be set, as on macOS
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # some containers do not let it choose
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with contextlib.suppress(OSError):  # where memory runs out all the same, this is the first to go
            Path("/proc/self/oom_score_adj").write_text("1000")


def _receive(asked: IO[bytes], waiting: queue.SimpleQueue[Any]) -> None:
    """Hands on what comes. When the gateway is gone, the process ends, whatever the version does at the moment."""
    with contextlib.suppress(Exception):
        while True:
            waiting.put(pickle.load(asked))  # from the gateway
    os._exit(1)


def _serve(waiting: queue.SimpleQueue[Any], said: IO[bytes]) -> None:
    model, metadata = waiting.get()
    try:
        with _one_cpu():
            from mlflow.pyfunc import load_model

            predict = load_model(model).predict
        answer = read(metadata)
        _say(said, READY)
        while True:
            batch = waiting.get()
            with _watched():
                compared = outcomes(predict, answer, batch)
            _say(said, compared)
    except BaseException as error:  # also sys.exit, and MemoryError, after which nothing is sure
        _say(said, {"error": f"{type(error).__name__}: {error}"[:MOST_WORDS]})


def outcomes(predict: Callable[[list[Any]], Any], answer: Answer, batch: Sequence[Pair]) -> list[str]:
    """How the answers of `predict` compare with those of the champion, of SAID for each item.

    Raises:
        MemoryError: There is not enough for them.
    """
    try:
        outputs = predict([item for item, _ in batch])
        mine = [each(lambda values, place=place: values[place], outputs) for place in range(len(batch))]
        pairs = zip(mine, (theirs for _, theirs in batch), strict=True)
        return [AGREED if answer.agrees(theirs, one) else DIFFERED for one, theirs in pairs]
    except MemoryError:
        raise
    except Exception:  # whatever the version raises; one item may be to blame
        return [FAILED] if len(batch) == 1 else [one for pair in batch for one in outcomes(predict, answer, [pair])]


@contextlib.contextmanager
def _one_cpu() -> Iterator[None]:
    """A network that is loaded inside is run by one thread: served models start as many as there are CPUs for them."""
    if sys.platform != "linux":
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """Ends the process where what is inside takes twice the time for a batch. That is for a version that lets nothing
    else run in its process, and a gateway that was killed meanwhile and can no longer end it."""
    with Path(os.devnull).open("w") as nobody:
        faulthandler.dump_traceback_later(2 * BATCH_SECONDS, exit=True, file=nobody)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _say(said: IO[bytes], words: Any) -> None:
    said.write(json.dumps(words).encode() + b"\n")
    said.flush()


if __name__ == "__main__":
    main()

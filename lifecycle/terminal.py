"""What the steps and their libraries write to the terminal: what it can show, and nothing that greets."""

from __future__ import annotations

import codecs
import contextlib
import io
import logging
import os
import stat
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12 on

NEAREST_ERRORS = "nearest"  # the name that `nearest` has among Python's handlers of encoding errors
# What stands for characters of ours, and of Rich's, that Unicode itself does not take apart into plain letters.
STAND_INS = {
    "→": "->",
    "←": "<-",
    "·": "-",
    "–": "-",
    "—": "-",
    "−": "-",
    "×": "x",
    "±": "+/-",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "“": '"',
    "”": '"',
    "„": '"',
    "‘": "'",
    "’": "'",
    "━": "-",
    "╸": "-",
    "╺": "-",
}


def set_up_logging() -> None:
    """All of what we have to say, and of what libraries have to say what a person can use."""
    show_what_it_can()
    go_on_unread()
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    for room in (
        "__main__",
        "steps",
        "lifecycle",
        "registry",
        "serving",
        "monitoring",
        "studies",
        "forms",
        "contract",
        "tasks",
    ):
        logging.getLogger(room).setLevel(logging.INFO)
    logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # it logs what it raises, with a traceback
    for library in (
        "mlflow.models.signature",
        "mlflow.pyfunc",
        "mlflow.types.type_hints",
        "mlflow.system_metrics",
        "tensorflow",
    ):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="In the future `np.object`")  # Keras's ONNX export
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one for every small file


def show_what_it_can() -> None:
    """From now on, a character that the terminal's encoding lacks is written as the nearest that it has.

    A terminal in Latin-1, a pipe in the C locale or a Windows console would otherwise end a step with a
    UnicodeEncodeError, after all of its work.
    """
    codecs.register_error(NEAREST_ERRORS, nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # nothing else has an encoding
            stream.reconfigure(errors=NEAREST_ERRORS)


def go_on_unread() -> None:
    """From now on, what is written to a pipe that nobody reads any more is dropped.

    `train | head -3` would otherwise end with a BrokenPipeError as soon as it says something more, and `train | tee`
    if the terminal of the `tee` was closed: hours of work for a line of text.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and _is_pipe(stream):
            stream.flush()
            buffer = io.BufferedWriter(_Unread(stream.fileno(), "w", closefd=False))
            flushed = stream.line_buffering or name == "stderr"
            setattr(sys, name, io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=flushed))


class _Unread(io.FileIO):
    """A pipe that may lose its reader."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _is_pipe(stream: io.TextIOWrapper) -> bool:
    with contextlib.suppress(OSError):  # it has no file
        return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    return False


def nearest(error: UnicodeError) -> tuple[str, int]:
    """Plain letters for what cannot be encoded, and where to go on; a handler for `codecs.register_error`.

    Raises:
        UnicodeError: It is no error of encoding.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(map(_plain, lacking)), error.end


def import_keras() -> None:
    """Imports Keras and what it computes with. TensorFlow's native code greets on standard error while it is loaded,
    before it can be told not to; exceptions are seen as ever."""
    with _nothing_on_stderr():
        import keras  # noqa: F401


def _plain(character: str) -> str:
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return STAND_INS.get(character) or letters or "?"


@contextlib.contextmanager
def _nothing_on_stderr() -> Iterator[None]:
    """What native code writes there is not seen."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)

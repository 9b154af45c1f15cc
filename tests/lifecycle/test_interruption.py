"""What a request to stop comes to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from types import FrameType
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from lifecycle import runs
from lifecycle.interruption import asked_to_stop, interruptible
from lifecycle.runs import NOTE, step_run
from tasks.contract import get_task
from tests.conftest import ROOT

TASK = get_task("digits")


def test_an_interruption_while_python_does_away_with_an_object_is_not_lost() -> None:
    class Anything:
        pass

    before = signal.getsignal(signal.SIGTERM)
    thing = Anything()
    watch = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt), interruptible():
        del thing
        time.sleep(10)
    assert watch() is None
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_a_library_makes_of_an_interruption_is_still_one(store: MlflowClient) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        interruptible(),
        step_run(store, TASK, "train", "a name", "a note") as run,
    ):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ValueError("could not pack sequence") from None
    ended = store.get_run(run.info.run_id)
    assert ended.info.status == "KILLED"
    assert ended.data.tags[NOTE].endswith("**Did not finish:** interrupted")


def test_asked_at_any_line_of_its_opening_and_ending_a_run_ends_killed_or_was_done(store: MlflowClient) -> None:
    statuses: list[str] = []
    for line in range(1, 1_000, 3):  # every third, for the test to be short
        asked, run = asked_at(store, line)
        if not asked:
            break
        assert mlflow.active_run() is None  # or MLflow would end it FINISHED
        if run:
            statuses.append(run.info.status)
    assert list(dict.fromkeys(statuses)) == ["KILLED", "FINISHED"]  # the later ones were done
    assert len(statuses) > 15


def asked_at(store: MlflowClient, wanted: int) -> tuple[bool, Run | None]:
    """Opens and ends a run, and is asked to stop before that line of the code that does it. Whether it came to that
    line, and the run, if there is one by then."""
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.endswith((runs.__file__, "fluent.py", "heartbeat.py")):
            return None
        if event == "line":
            lines += 1
            if lines == wanted:
                sys.settrace(None)
                signal.raise_signal(signal.SIGTERM)
        return trace

    before = sys.gettrace()
    try:
        with interruptible():
            sys.settrace(trace)
            with step_run(store, TASK, "train", f"line {wanted}", "a note"):
                pass
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    found = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"attributes.run_name = 'line {wanted}'",
        output_format="list",
    )
    return lines >= wanted, next(iter(found), None)


def test_a_second_request_to_stop_does_not_cut_the_tidying_up_short() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            tidied_up = True
    assert tidied_up


@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX signals")
def test_ctrl_c_while_modules_are_imported_shows_no_traceback(tmp_path: Path) -> None:
    # Stands for MLflow, which takes seconds to import.
    (tmp_path / "argparse.py").write_text("print('importing', flush=True)\nimport time\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "steps.rollback"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == (b"", b"")
    assert process.returncode == -signal.SIGINT


def test_a_request_that_python_could_only_print_is_known_until_it_is_heard() -> None:
    class Dying:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with interruptible(), pytest.raises(KeyboardInterrupt):  # it comes a moment later
        Dying()
        assert asked_to_stop()
        time.sleep(5)
    assert not asked_to_stop()

"""What a request to stop comes to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle.interruption import interruptible
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

"""How many train runs go at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lifecycle import workers
from served import machine
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("cpu_max", "memory_max", "has_gpu", "expected"),
    [
        ("max 100000", "max", False, 8),
        ("250000 100000", "max", False, 3),
        ("max 100000", "7000000", False, 7),
        ("max 100000", "100000", False, 1),
        ("max 100000", "max", True, 1),
    ],
)
def test_one_a_core_as_far_as_memory_reaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu_max: str, memory_max: str, has_gpu: bool, expected: int
) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setattr(workers, "BYTES_EACH", 1e6)  # so that it does not matter what this machine has left
    monkeypatch.setattr(workers, "_has_gpu", lambda: has_gpu)
    (tmp_path / "cpu.max").write_text(cpu_max)
    (tmp_path / "memory.max").write_text(memory_max)
    assert workers.at_once(20) == expected
    assert workers.at_once(1) == 1


HARD_OF_HEARING = """
import signal, sys, time
from lifecycle import workers
from lifecycle.interruption import interruptible

def work(item):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as native code is that takes long
    print("begun", flush=True)
    time.sleep(300)

if __name__ == "__main__":
    try:
        with interruptible():
            list(workers.run_all(work, [1, 2, 3], 2))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.slow
def test_ctrl_c_pressed_again_ends_what_takes_long_to_end(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(HARD_OF_HEARING)
    command = [sys.executable, "study.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as study:
        assert study.stdout is not None
        assert study.stdout.readline() == "begun\n"
        children = psutil.Process(study.pid).children(recursive=True)
        study.send_signal(signal.SIGINT)
        time.sleep(0.5)
        study.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs(children, timeout=workers.GRACE_SECONDS / 2)
        for process in alive:
            process.kill()
        assert not alive
        assert "interrupted" in study.stdout.read()

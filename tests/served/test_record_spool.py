"""What waits on this machine to be sent to a store, and the end of processes that send."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from served import record_store
from served.record_files import Line, Spool
from tests.conftest import ROOT
from tests.served.recording import spooled

ENDING = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from served import record, record_store

class Hanging:
    def log_artifact(self, file, folder):
        with ThreadPoolExecutor() as pool:
            pool.submit(time.sleep, 60).result()

record_store.SEND_SECONDS, record_store.END_SECONDS, record.EVERY_SECONDS = 0, 0.5, 0.05
record_store.repository_of = lambda address: Hanging()
settings = record.Settings(Path(sys.argv[1]), 10**9, 0.0, "s3://bucket")
recorder = record.Recorder(settings, "models:/digits/3", {"": ["cat", "dog"]}, None)
recorder.answered([np.zeros((1, 2))], np.array([[0.9, 0.1]]), 0.001)
time.sleep(0.5)
recorder.close()
print("closed", flush=True)
"""


def test_a_process_ends_though_a_client_s_own_threads_hang(tmp_path: Path) -> None:
    """boto3 sends in threads of an executor, which Python waits for before it ends."""
    command = [sys.executable, "-c", ENDING, str(tmp_path / "spool" / "0")]
    result = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=30, check=False
    )
    assert (result.returncode, result.stdout) == (0, "closed\n"), result.stderr
    assert len(spooled(tmp_path)) == 1


def test_a_file_that_others_took_away_is_not_written_again_under_its_name(tmp_path: Path) -> None:
    """A store would have the new one in place of the old."""
    spool = Spool(tmp_path / "spool" / "0", 10**9)
    spool.append([Line(b"[1]\n", 1)])
    (first,) = spooled(tmp_path)
    first.unlink()
    spool.append([Line(b"[2]\n", 1)])
    (second,) = spooled(tmp_path)
    assert second.name != first.name
    assert second.read_bytes() == b"[2]\n"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users have folders of their own")
def test_a_folder_of_somebody_else_s_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool" / "0", 10**9)
    monkeypatch.setattr(os, "getuid", lambda: 12345678)
    recorded, problem = spool.append([Line(b"[1]\n", 1)])
    assert recorded == 0
    assert str(problem) == f"{tmp_path / 'spool'} belongs to somebody else; set TMPDIR to another folder"


def test_threads_of_others_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor() as pool:
        pool.submit(int).result()
        awaited: Any = sys.modules["concurrent.futures.thread"]._threads_queues
        before = [thread for thread in awaited if not thread.daemon]
        record_store._let_go()
        assert [thread for thread in awaited if not thread.daemon] == before
        assert len(before) >= 1

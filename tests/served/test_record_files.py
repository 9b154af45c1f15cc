"""What becomes of the record of traffic where something is in the way of it."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from monitoring.record import read
from served import record
from served.record_files import Files, Line, Settings, settings
from tests.conftest import ROOT
from tests.served.recording import SHARES, Make, asked, columns_of, files


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written but where a test says so."""
    monkeypatch.setattr(record, "EVERY_SECONDS", 3600.0)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in files(folder))


@pytest.mark.parametrize("writers", [1, 3])
def test_the_bound_is_kept_and_the_newest_stays(make: Make, tmp_path: Path, writers: int) -> None:
    recorders = [make(most=1_000_000) for _ in range(writers)]
    largest = 0
    for number in range(60):
        for recorder in recorders:
            recorder.begin(f"request-{number}")
            asked(recorder, 2000 // writers)
            recorder.flush()
            largest = max(largest, size(tmp_path))
    assert 700_000 < largest <= 1_000_000
    rows = read(tmp_path / "traffic").rows
    assert "request-59" in set(rows["id"])
    assert "request-0" not in set(rows["id"])
    assert len(rows) > 4000


def test_the_oldest_hours_go_first_packed_or_not(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "traffic"
    for name in ("2001-01-01T00/a.jsonl", "2001-01-01T01.parquet", "2001-01-01T02/b.jsonl", "own.parquet", "x/y.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\n" * 300_000)
    recorder = make(most=1_000_000)
    asked(recorder)
    recorder.flush()
    assert {path.name for path in folder.iterdir()} >= {"2001-01-01T01.parquet", "2001-01-01T02", "own.parquet", "x"}
    assert not (folder / "2001-01-01T00").exists()


def test_what_does_not_fit_into_the_queue_is_counted(
    make: Make, tmp_path: Path, counts: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MOST_REQUESTS", 3)
    recorder = make()
    asked(recorder, 4, SHARES)
    recorder.refused("type", 0.1)
    recorder.flush()
    assert counts == [(6, 3)]
    monkeypatch.setattr(record, "MOST_REQUESTS", 100)
    monkeypatch.setattr(record, "MOST_BYTES", 2 * SHARES.nbytes)
    asked(recorder, 3, SHARES)
    recorder.flush()
    assert counts[1:] == [(4, 2)]
    assert len(read(tmp_path / "traffic").rows) == 10


def test_of_those_that_are_not_looked_at_too_it_is_counted(
    make: Make, counts: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MOST_DESCRIBED", 0)
    monkeypatch.setattr(record, "MOST_REQUESTS", 3)
    recorder = make()
    asked(recorder, 5, SHARES)
    recorder.flush()
    monkeypatch.setattr(record, "MOST_BYTES", 2 * SHARES.nbytes)
    asked(recorder, 3, SHARES)
    recorder.flush()
    assert counts == [(6, 4), (4, 2)]


def test_large_inputs_are_left_out_before_rows_are(
    make: Make, tmp_path: Path, counts: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MOST_BYTES", 1000)
    recorder = make(columns_of)
    for _ in range(10):
        recorder.answered([np.zeros((1, 100), np.float32)], SHARES[:1], 0.1)
    recorder.flush()
    assert counts == [(10, 0)]


class Disk:
    """Has room for so many bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(descriptor, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 1, 40, 80])
def test_a_full_disk_loses_what_is_told_and_nothing_else(
    make: Make,
    tmp_path: Path,
    counts: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    room: int,
) -> None:
    recorder = make()
    asked(recorder, 5)
    recorder.flush()
    disk = Disk(monkeypatch, room)
    for _ in range(3):
        asked(recorder, 2)
        recorder.flush()
    assert counts == [(5, 0), (0, 2), (0, 2), (0, 2)]
    assert [one.levelno for one in caplog.records] == [logging.WARNING]
    assert "No space left on device" in caplog.text
    disk.room = 10**9
    for _ in range(2):
        asked(recorder, 7)
        recorder.flush()
    assert counts[4:] == [(7, 0), (7, 0)]
    assert len(read(tmp_path / "traffic").rows) == 19
    assert "recorded again" in caplog.text
    assert len(caplog.records) == 2


def test_lines_that_were_written_before_the_disk_was_full_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, 7)
    written = Files(tmp_path, 10**9)
    recorded, problem = written.append([Line(b"[1]\n", 10), Line(b"[2]\n", 5)])
    assert recorded == 10
    assert isinstance(problem, OSError)


def test_a_line_that_is_too_large_for_the_bound_is_left_out(tmp_path: Path) -> None:
    written = Files(tmp_path, 1_000_000)
    recorded, problem = written.append([Line(b"1\n", 1), Line(b"2" * 60_000, 2), Line(b"3\n", 4)])
    assert (recorded, str(problem)) == (5, "a line is too large for TRAFFIC_BYTES")


def test_a_folder_that_is_removed_is_made_again(make: Make, tmp_path: Path, counts: list[tuple[int, int]]) -> None:
    recorder = make()
    for _ in range(2):
        asked(recorder, 3)
        recorder.flush()
        shutil.rmtree(tmp_path / "traffic")
    asked(recorder, 3)
    recorder.flush()
    assert counts == [(3, 0)] * 3
    assert len(read(tmp_path / "traffic").rows) == 3


def test_a_file_that_is_removed_while_it_is_written_is_written_again(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, write = make(), os.write

    def removing(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        shutil.rmtree(tmp_path / "traffic")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", removing)
    asked(recorder, 3)
    recorder.flush()
    assert len(read(tmp_path / "traffic").rows) == 3


@pytest.mark.parametrize("is_file", [False, True])
def test_before_the_first_request_the_folder_is_there_or_it_is_told_why_not(
    is_file: bool, make: Make, tmp_path: Path, counts: list[tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "traffic"
    if is_file:
        folder.write_text("I am a file.")
    make()
    deadline = time.monotonic() + 10
    while not (caplog.records if is_file else folder.is_dir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    words = f"Not all traffic is recorded, which model_traffic_lost counts: {folder} is a file, expected a folder"
    assert caplog.messages == [words] * is_file
    assert counts == []


def test_a_place_that_cannot_be_written_is_told_once(
    make: Make, tmp_path: Path, counts: list[tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "traffic").write_text("I am a file.")
    recorder = make()
    for _ in range(3):
        asked(recorder, 2)
        recorder.flush()
    assert counts == [(0, 2)] * 3
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRAFFIC_BYTES", "abc", "TRAFFIC_BYTES must be a whole number of at least 1000000, it is 'abc'"),
        ("TRAFFIC_BYTES", "999999", "TRAFFIC_BYTES must be a whole number of at least 1000000, it is '999999'"),
        ("TRAFFIC_INPUTS", "1.5", "TRAFFIC_INPUTS must be a number from 0 to 1, it is '1.5'"),
        ("TRAFFIC_INPUTS", "nan", "TRAFFIC_INPUTS must be a number from 0 to 1, it is 'nan'"),
        ("TRAFFIC_INPUTS", "x", "TRAFFIC_INPUTS must be a number from 0 to 1, it is 'x'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_in_a_line(
    name: str,
    value: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("TRAFFIC_DIR", str(tmp_path))
    monkeypatch.setenv(name, value)
    assert settings() is None
    assert [one.getMessage() for one in caplog.records] == [f"No traffic is recorded: {message}."]


def test_settings_have_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings() is None
    monkeypatch.setenv("TRAFFIC_DIR", str(tmp_path))
    assert settings() == Settings(tmp_path, 10**9, 0.0)
    monkeypatch.setenv("TRAFFIC_BYTES", "2000000")
    monkeypatch.setenv("TRAFFIC_INPUTS", "0.01")
    assert settings() == Settings(tmp_path, 2_000_000, 0.01)


WRITER = """
import pathlib, sys, time
import numpy as np
from served import record
from served.record_features import numbers
from served.record_files import Settings
record.EVERY_SECONDS = float(sys.argv[2])
folder = pathlib.Path(sys.argv[1])
describe = lambda batch: {"a": batch[:, 0], "b": batch[:, 1]}
recorder = record.Recorder(Settings(folder, 10**9, 0.0), "models:/digits/3", {"": ["cat", "dog"]}, describe, True)
shares, batch = np.array([[0.9, 0.1]], np.float32), np.zeros((1, 2), np.float32)
for number in range(int(sys.argv[3])):
    recorder.begin(f"r{number}")
    recorder.answered([batch], shares, 0.001)
    if record.EVERY_SECONDS < 1:
        time.sleep(0.0001)
    if number == 1000:
        print("ready", flush=True)
"""


def writer(folder: Path, every: float, requests: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(every), str(requests)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_process_that_is_killed_leaves_files_that_can_be_read(tmp_path: Path) -> None:
    process = writer(tmp_path / "traffic", 0.0001, 10**9)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    names = read(tmp_path / "traffic").rows["id"]
    assert len(names) > 1000
    assert names.tolist() == [f"r{number}" for number in range(len(names))]  # none before the last is missing


def test_a_process_that_ends_loses_nothing(tmp_path: Path) -> None:
    process = writer(tmp_path / "traffic", 3600, 3000)
    process.communicate(timeout=30)
    assert len(read(tmp_path / "traffic").rows) == 3000

"""The record of traffic in an object store: what arrives there, and what becomes of it where it cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from monitoring.record import read
from served import record, record_files, record_store
from served.record import Recorder
from served.record_files import Settings
from tests.conftest import ROOT
from tests.served.recording import SOURCE, Make, asked, spooled


class Store:
    """A store in a folder, which may fail or hang.

    Attributes:
        folder: What has arrived.
        fails: Gives what is raised for a file, None for nothing.
        tried: Names of the files that somebody has tried to send.
        is_readable: Whether it gives what it has.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fails: Callable[[Path], Exception | None] = lambda path: None
        self.tried: list[str] = []
        self.is_readable = True

    def log_artifact(self, file: str, folder: str) -> None:
        path = Path(file)
        self.tried.append(path.name)
        if error := self.fails(path):
            raise error
        (self.folder / folder).mkdir(parents=True, exist_ok=True)
        (self.folder / folder / path.name).write_bytes(path.read_bytes())

    def list_artifacts(self) -> list[SimpleNamespace]:
        if not self.is_readable:
            raise PermissionError("s3://user:secret@bucket is for writing")
        return [SimpleNamespace(path=path.name) for path in self.folder.glob("*")]

    def download_artifacts(self, name: str, folder: str) -> None:
        (Path(folder) / name).write_bytes((self.folder / name).read_bytes())


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store(tmp_path / "store")
    monkeypatch.setattr(record_store, "repository_of", lambda address: made)
    return made


@pytest.fixture
def make(tmp_path: Path, counts: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Recorders that write when a test says so, and have that sent at once."""
    monkeypatch.setattr(record, "EVERY_SECONDS", 3600.0)
    monkeypatch.setattr(record_store, "SEND_SECONDS", 0.0)
    made = []

    def recorder(most: int = 10**9, address: str = "s3://user:secret@bucket/traffic") -> Recorder:
        given = Settings(tmp_path / "spool" / "0", most, 0.0, address)
        made.append(Recorder(given, SOURCE, {"": ["cat", "dog"]}, None, True, lambda *n: counts.append(n)))
        return made[-1]

    yield recorder
    for one in made:
        one.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_was_served_arrives_and_is_taken_away_here(make: Make, store: Store, tmp_path: Path) -> None:
    recorder = make()
    for number in range(3):
        recorder.begin(f"r{number}")
        asked(recorder)
        recorder.flush()
        until(lambda: not spooled(tmp_path))
    assert sorted(read(store.folder).rows["id"]) == ["r0", "r1", "r2"]
    assert len(set(store.tried)) == 3  # none was sent twice, and none has another's name
    assert os.name == "nt" or (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def test_what_monitor_left_there_is_brought_here(make: Make, store: Store, tmp_path: Path) -> None:
    store.folder.mkdir()
    (store.folder / "verdict-digits.json").write_text("{}")
    recorder = make()
    asked(recorder)
    recorder.flush()
    until(lambda: (tmp_path / "spool" / "0" / "verdict-digits.json").exists())


def test_a_store_that_is_for_writing_is_told_once(
    make: Make, store: Store, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    store.is_readable = False
    recorder = make()
    for _ in range(3):
        asked(recorder)
        recorder.flush()
        until(lambda: not spooled(tmp_path))
    recorder.close()
    assert [one.getMessage() for one in caplog.records] == [
        "What monitor has found is not told, it cannot be read from s3://bucket/traffic: PermissionError: s3://bucket "
        "is for writing"
    ]


def test_the_end_sends_what_is_left(make: Make, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_store, "SEND_SECONDS", 3600.0)
    recorder = make()
    asked(recorder, 5)
    recorder.flush()
    assert len(spooled(tmp_path)) == 1
    asked(recorder, 2)
    recorder.close()
    assert len(read(store.folder).rows) == 7
    assert spooled(tmp_path) == []


def test_a_version_that_is_replaced_sends_what_it_is_still_answering(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = make()
    monkeypatch.setattr(record_store, "SEND_SECONDS", 3600.0)
    monkeypatch.setattr(record, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(record, "LINGER_SECONDS", 0.2)
    replaced = make()
    asked(replaced)
    replaced.retire()
    asked(replaced)
    until(lambda: store.folder.exists() and len(read(store.folder).rows) == 2)
    recorder.close()


def test_what_could_not_be_sent_is_tried_again_and_told_once_without_secrets(
    make: Make, store: Store, tmp_path: Path, counts: list[tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    address = "s3://user:secret@bucket/traffic?signature=hidden"
    store.fails = lambda path: ConnectionError(f"no answer from {address}\n(tried twice)")
    recorder = make(address=address)
    for tries in range(1, 4):
        asked(recorder)
        recorder.flush()
        until(lambda tries=tries: len(store.tried) == tries)  # type: ignore[misc]
    assert len(spooled(tmp_path)) == 3
    store.fails = lambda path: None
    recorder.flush()
    until(lambda: not spooled(tmp_path))
    assert len(read(store.folder).rows) == 3
    until(lambda: len(caplog.records) == 2)
    told, again = [one.getMessage() for one in caplog.records]
    assert told == (
        "What was served cannot be sent to s3://bucket/traffic. It is tried again, and kept here while there is room: "
        "ConnectionError: no answer from s3://bucket/traffic (tried twice)"
    )
    assert again == "What was served is sent to s3://bucket/traffic again."
    assert counts == [(1, 0)] * 3


def test_a_file_that_cannot_be_sent_does_not_hold_up_others(make: Make, store: Store, tmp_path: Path) -> None:
    recorder = make()
    asked(recorder)
    recorder.flush()
    until(lambda: len(store.tried) == 1 and not spooled(tmp_path))
    wrong: list[str] = []

    def fails(path: Path) -> Exception | None:
        wrong.append(path.name) if not wrong else None
        return ValueError("too large") if path.name == wrong[0] else None

    store.fails = fails
    asked(recorder)
    recorder.flush()
    until(lambda: len(store.tried) == 2)
    for arrived in (2, 3):
        asked(recorder)
        recorder.flush()
        until(lambda arrived=arrived: len(list(store.folder.rglob("*.jsonl"))) == arrived)  # type: ignore[misc]
    until(lambda: [path.name for path in spooled(tmp_path)] == wrong)


def test_what_has_to_make_room_before_it_is_sent_is_lost(
    make: Make, store: Store, tmp_path: Path, counts: list[tuple[int, int]]
) -> None:
    store.fails = lambda path: ConnectionError("no answer")
    recorder = make(most=1_000_000)
    largest = 0
    for number in range(40):
        recorder.begin(f"request-{number}")
        asked(recorder, 2000)
        recorder.flush()
        largest = max(largest, sum(path.stat().st_size for path in spooled(tmp_path)))
    assert 500_000 < largest <= 1_000_000
    store.fails = lambda path: None
    recorder.close()
    recorded, lost = (sum(figures) for figures in zip(*counts, strict=True))
    assert recorded == 80_000
    assert lost > 40_000
    assert len(read(store.folder).rows) == recorded - lost


def test_what_a_killed_process_left_is_sent_by_the_next_one(
    make: Make, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = tmp_path / "spool" / "0" / "2001-01-01T00"
    hour.mkdir(parents=True)
    (hour / "left.jsonl").write_text("{}\n")
    os.utime(hour / "left.jsonl", (0, 0))
    (hour / "alive.jsonl").write_text("{}\n")
    recorder = make()
    asked(recorder)
    recorder.flush()
    until(lambda: [path.name for path in spooled(tmp_path)] == ["alive.jsonl"])
    assert (store.folder / "2001-01-01T00" / "left.jsonl").read_text() == "{}\n"
    monkeypatch.setattr(record_files, "LEFT_SECONDS", -1.0)
    recorder.flush()
    until(lambda: not spooled(tmp_path))


class Hanging(Store):
    """Answers nobody until it is told to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.answers = threading.Event()
        self.fails = self._hang

    def _hang(self, path: Path) -> None:
        self.answers.wait(30)


def test_a_store_that_hangs_holds_up_nothing(
    make: Make,
    tmp_path: Path,
    counts: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Hanging(tmp_path / "store")
    monkeypatch.setattr(record_store, "repository_of", lambda address: store)
    monkeypatch.setattr(record_store, "END_SECONDS", 0.2)
    recorder = make(most=1_000_000)
    asked(recorder)
    recorder.flush()
    until(lambda: len(store.tried) == 1)
    before = time.monotonic()
    for _ in range(30):
        asked(recorder, 2000)
        recorder.flush()
    assert sum(path.stat().st_size for path in spooled(tmp_path)) <= 1_000_000
    assert sum(lost for _, lost in counts) > 0
    for _ in range(2):  # by the server, and when Python ends
        recorder.close()
    assert time.monotonic() - before < 10
    assert len(store.tried) == 1
    assert caplog.text.count("The next server on this machine sends the rest.") == 1
    assert "secret" not in caplog.text
    store.answers.set()


WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from served import record
record.EVERY_SECONDS = 0.001
settings = record.Settings(Path(sys.argv[1]), 10**9, 0.0, sys.argv[2])
recorder = record.Recorder(settings, "models:/digits/3", {"": ["cat", "dog"]}, None)
for number in range(10**9):
    recorder.begin(f"r{number}")
    recorder.answered([np.zeros((1, 2))], np.array([[0.9, 0.1]]), 0.001)
    time.sleep(0.001)
    if number == 200:
        print("ready", flush=True)
"""


def test_a_process_that_is_killed_leaves_what_the_next_one_sends(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = (tmp_path / "store").as_uri()
    command = [sys.executable, "-c", WRITER, str(tmp_path / "spool" / "0"), address]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    assert len(spooled(tmp_path)) == 1
    assert not (tmp_path / "store").exists()
    monkeypatch.setattr(record_files, "LEFT_SECONDS", -1.0)
    make(address=address).close()
    assert spooled(tmp_path) == []
    names = read(tmp_path / "store").rows["id"]
    assert len(names) > 100
    assert names.tolist() == [f"r{number}" for number in range(len(names))]

"""Processes that decode files, and end whatever a file makes them do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from PIL import Image

from forms.item import Item, ItemError, Shape
from forms.items.ink import Ink
from forms.items.photograph import Photograph
from forms.items.volume import Volume
from serving.gateway import decoders
from serving.gateway.decoders import BusyError, Decoders
from tests.conftest import ROOT
from tests.forms import scanned
from tests.forms.drawn import file, progressive
from tests.forms.test_pictures import PHOTOGRAPH, PNG
from tests.processes import processes_of

SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def running() -> Iterator[Decoders]:
    with Decoders() as started:
        yield started


def processes() -> list[psutil.Process]:
    return processes_of("serving.gateway.decoders")


@pytest.mark.parametrize(
    ("shape", "form"),
    [((8, 8), Ink(white=16, box=0.9)), (SHAPE, PHOTOGRAPH), ((None, None, 3), Photograph(any_size=True))],
    ids=["ink", "photograph", "any size"],
)
def test_an_item_is_the_same_as_in_this_process(running: Decoders, shape: Shape, form: Item) -> None:
    values = running.read(PNG, shape, form)
    np.testing.assert_array_equal(values, form.file(PNG, shape))
    assert values.dtype == np.uint8


def test_a_volume_is_read_and_told_of_in_its_own_words(running: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_array_equal(running.read(scanned.file(), scanned.BOX.shape, Volume()), scanned.BOX)
    assert running.read(scanned.file(), scanned.BOX.shape, Volume("float32")).dtype == np.float32
    with pytest.raises(ItemError, match="Some voxels are NaN") as caught:
        running.read(scanned.file(np.where(scanned.BOX == 3, np.nan, 1)), scanned.BOX.shape, Volume())
    assert caught.value.kind == "range"
    processes()[0].suspend()
    monkeypatch.setattr(decoders, "SECONDS", 0.2)
    told = r"^Decoding the volume takes more than 10 seconds\. Save it with fewer voxels\.$"
    with pytest.raises(ItemError, match=told) as caught:
        running.read(scanned.file(), scanned.BOX.shape, Volume())
    assert caught.value.kind == "encoding"


def test_what_cannot_be_used_is_told_and_the_process_stays(running: Decoders) -> None:
    running.read(PNG, SHAPE, PHOTOGRAPH)
    before = processes()
    with pytest.raises(ItemError, match="There is nothing to see in the picture"):
        running.read(file(Image.new("L", (50, 50), 255)), SHAPE[:2], Ink())
    with pytest.raises(ItemError, match="The file is cut off"):
        running.read(PNG[:100], SHAPE, PHOTOGRAPH)
    running.read(PNG, SHAPE, PHOTOGRAPH)
    assert processes() == before


def test_a_picture_that_takes_too_long_ends_its_process_and_no_other(
    running: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.read(PNG, SHAPE, PHOTOGRAPH)
    before = processes()
    before[0].suspend()  # stands for whatever a file may make a decoder do
    monkeypatch.setattr(decoders, "SECONDS", 0.2)
    with pytest.raises(ItemError, match="Decoding the picture takes more than"):
        running.read(PNG, SHAPE, PHOTOGRAPH)
    assert not before[0].is_running()
    monkeypatch.undo()
    assert running.read(PNG, SHAPE, PHOTOGRAPH).shape == SHAPE


def test_a_process_that_was_killed_is_replaced(running: Decoders) -> None:
    running.read(PNG, SHAPE, PHOTOGRAPH)
    for process in processes():
        process.kill()
        process.wait()
    assert running.read(PNG, SHAPE, PHOTOGRAPH).shape == SHAPE


def test_pictures_that_take_long_keep_no_other_waiting(running: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "QUICK_WORK", 32 * 32 * 50)
    running.read(PNG, SHAPE, PHOTOGRAPH)
    long = progressive(1_000, 100)
    told: list[str] = []

    def upload() -> None:
        try:
            running.read(long, SHAPE, PHOTOGRAPH)
            told.append("answered")
        except BusyError as error:
            told.append(str(error))

    threads = [threading.Thread(target=upload) for _ in range(6)]
    for thread in threads:
        thread.start()
    busy = "Too many large pictures at once. Try again in a few seconds."
    while told.count(busy) < 4:
        time.sleep(0.001)
    assert running.read(PNG, SHAPE, PHOTOGRAPH).shape == SHAPE
    assert "answered" not in told
    for thread in threads:
        thread.join()
    assert sorted(told) == [busy] * 4 + ["answered"] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to RLIMIT_AS")
def test_a_picture_that_needs_too_much_memory_is_told() -> None:
    code = (
        "from serving.gateway import decoders\n"
        "from forms.items.photograph import Photograph\n"
        "Photograph.file = lambda *_: bytearray(2 * decoders.MEMORY_BYTES)\n"
        "decoders.main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process, pytest.raises(ItemError, match="takes too much memory"):
        try:
            decoders._exchanged(process, PNG, SHAPE, PHOTOGRAPH)
        finally:
            process.kill()


def test_a_decoder_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "kept")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:kept@localhost")
    with Decoders() as running:
        assert running.read(PNG, SHAPE, PHOTOGRAPH).shape == SHAPE
        decoder = running._lanes["quick"].decoders[-1]._process
        assert decoder
        environment = psutil.Process(decoder.pid).environ()
    assert "kept" not in "".join(environment.values())
    assert "PATH" in environment


@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX signals")
def test_decoders_end_with_the_process_that_started_them() -> None:
    code = (
        "import os, time\n"
        "from serving.gateway.decoders import Decoders\n"
        "with Decoders() as running:\n"
        "    print(running._lanes['quick'].decoders[-1]._process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        decoder = psutil.Process(int(parent.stdout.readline()))
        assert os.getpgid(decoder.pid) != os.getpgid(parent.pid)  # Ctrl-C does not reach it
        parent.send_signal(signal.SIGKILL)
    assert psutil.wait_procs([decoder], timeout=20)[1] == []

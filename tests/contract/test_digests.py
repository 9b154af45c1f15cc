"""The digest of data: of the values alone, and kept until a file changes."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest

from contract import digests
from contract.items import Files, Ragged
from tasks.contract import Split
from tests.contract.test_items import RAGGED, VALUES, written

TARGETS = np.arange(10)


class Reader:
    """Reads .npy files, and counts."""

    def __init__(self, plus: int = 0) -> None:
        self.count = 0
        self.plus = plus

    def __call__(self, path: Path) -> np.ndarray:
        self.count += 1
        array: np.ndarray = np.load(path)
        return array + np.uint8(self.plus)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that have not changed for a while."""
    monkeypatch.setenv("DL_LIFECYCLE_CACHE", str(tmp_path / "cache"))
    paths = written(tmp_path, VALUES)
    monkeypatch.setattr(digests, "SETTLED_SECONDS", -1.0)
    return paths


def digest(paths: list[Path], reader: Reader, targets: np.ndarray = TARGETS) -> str:
    return Split(Files(paths, reader, np.uint8, (3, 4)), targets).digest


def test_it_is_that_of_the_same_values_in_memory(paths: list[Path]) -> None:
    expected = hashlib.sha256()
    expected.update(b"|u1(10, 3, 4)" + VALUES.tobytes() + b"<i8(10,)" + TARGETS.tobytes())
    assert Split(VALUES, TARGETS).digest == expected.hexdigest()
    assert digest(paths, Reader()) == expected.hexdigest()
    assert Split(Ragged(list(VALUES)), TARGETS).digest == expected.hexdigest()


def test_files_are_read_once_and_again_when_one_changes(paths: list[Path]) -> None:
    first = Reader()
    before = digest(paths, first)
    assert first.count == len(paths) + digests.SAMPLES
    again = Reader()
    assert digest(paths, again) == before
    assert again.count == digests.SAMPLES
    changed = VALUES[4].copy()
    changed[0, 0] ^= 1
    stat = paths[4].stat()
    np.save(paths[4], changed)
    os.utime(paths[4], ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as tools that copy files set it
    expected = VALUES.copy()
    expected[4] = changed
    assert digest(paths, Reader()) == Split(expected, TARGETS).digest != before


def test_other_targets_another_order_and_fewer_files_are_other_data(paths: list[Path]) -> None:
    before = digest(paths, Reader())
    assert digest(paths, Reader(), TARGETS + 1) == Split(VALUES, TARGETS + 1).digest != before
    assert digest(paths[::-1], Reader()) == Split(VALUES[::-1], TARGETS).digest != before
    assert digest(paths[:5], Reader(), TARGETS[:5]) == Split(VALUES[:5], TARGETS[:5]).digest != before


def test_files_that_are_read_in_another_way_are_other_data(paths: list[Path]) -> None:
    before = digest(paths, Reader())
    assert digest(paths, Reader(plus=1)) == Split(VALUES + np.uint8(1), TARGETS).digest != before


def test_what_changed_a_moment_ago_is_not_kept(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change again within the same tick of the file system's clock."""
    monkeypatch.setattr(digests, "SETTLED_SECONDS", 60.0)
    digest(paths, Reader())
    reader = Reader()
    digest(paths, reader)
    assert reader.count == len(paths) + digests.SAMPLES


def test_a_cache_that_is_damaged_or_cannot_be_written_costs_time_only(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = digest(paths, Reader())
    (kept,) = (tmp_path / "cache" / "digests").iterdir()
    kept.write_text("{")
    assert digest(paths, Reader()) == before
    (tmp_path / "file").touch()
    monkeypatch.setenv("DL_LIFECYCLE_CACHE", str(tmp_path / "file"))
    assert digest(paths, Reader()) == before
    assert "cannot be kept" in caplog.text


def test_the_same_values_in_other_shapes_are_other_data() -> None:
    turned = [item.reshape(2, -1) if len(item) == 1 else item for item in RAGGED]
    found = {Split(Ragged(items), np.arange(6)).digest for items in (RAGGED, turned, RAGGED[::-1])}
    assert len(found) == 3


def test_long_reading_says_how_far_it_is(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(digests, "TOLD_SECONDS", 0.0)
    monkeypatch.setattr(digests, "bounded", lambda items, most: 4)
    monkeypatch.setattr(time, "monotonic", iter(range(1000)).__next__)
    digest(paths, Reader())
    assert "Read 4 of 10 files, for the digest of the data." in caplog.text

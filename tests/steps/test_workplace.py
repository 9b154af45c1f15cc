"""What tells a living process from a dead one, and what is left of the dead."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from steps import workplace
from tasks.contract import UserError
from tests.conftest import ROOT

PROCESS = """
import tempfile, time
from steps import workplace
from tasks.contract import UserError
workplace.use_own_folder()
tempfile.NamedTemporaryFile(delete=False)
print(workplace.process_id(), tempfile.gettempdir(), flush=True)
input()
"""


class Other:
    """Another process with a folder of its own, in the temporary folder of this one's root."""

    def __init__(self, temporary: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROCESS],
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.id, folder = self.process.stdout.readline().split()
        self.folder = Path(folder)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of all processes, which this process uses too."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for cached in (workplace._root, workplace._machine, workplace.process_id):
        cached.cache_clear()
    yield workplace._root()
    for cached in (workplace._root, workplace._machine, workplace.process_id):
        cached.cache_clear()


def test_a_killed_process_is_known_to_have_ended_and_its_files_go(root: Path, tmp_path: Path) -> None:
    other = Other(tmp_path)
    assert workplace.has_ended(other.id) is False
    assert len(list(other.folder.iterdir())) == 1
    workplace.remove_the_dead(root)
    assert other.folder.exists()  # it lives

    other.process.kill()
    other.process.wait()
    assert workplace.has_ended(other.id) is True
    workplace.remove_the_dead(root)
    assert not other.folder.exists()
    assert workplace.has_ended(other.id) is True  # also now that nothing is left of it


def test_a_process_that_ends_by_itself_leaves_nothing(root: Path, tmp_path: Path) -> None:
    other = Other(tmp_path)
    other.process.communicate("\n")
    assert {path.name for path in root.iterdir()} == {"machine", "machine.lock"}


def test_of_a_process_on_another_machine_nothing_is_known(root: Path) -> None:
    assert workplace.has_ended("another-machine/0123456789ab") is None
    assert workplace.has_ended("") is None


def test_this_process_lives(root: Path) -> None:
    assert workplace.has_ended(workplace.process_id()) is False


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the operating system has no such users")
def test_a_folder_that_is_somebody_elses_is_not_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: root.stat().st_uid + 1)
    workplace._root.cache_clear()
    with pytest.raises(UserError, match=r"belongs to somebody else\. Set TMPDIR"):
        workplace._root()

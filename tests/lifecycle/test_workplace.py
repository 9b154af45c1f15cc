"""What tells a living process from a dead one, and what is left of the dead."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle import workplace
from tasks.contract import UserError
from tests.conftest import ROOT

PROCESS = """
import tempfile, time
from lifecycle import workplace
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


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the operating system has no such users")
@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 54321"), OSError("No username set")])
def test_a_user_without_a_name_has_a_number(root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def nameless() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setenv("LOGNAME", "")
    workplace._root.cache_clear()
    assert workplace._root().name == f"dl-lifecycle-{os.getuid()}"
    assert os.environ["LOGNAME"] == str(os.getuid())  # MLflow asks for a name, too


def test_a_users_name_need_not_be_one_for_a_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "WORK/ada lovelace")
    workplace._root.cache_clear()
    assert workplace._root().name == "dl-lifecycle-WORK_ada_lovelace"


def test_without_a_folder_for_temporary_files_that_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_is_usable() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none_is_usable)
    workplace._root.cache_clear()
    with pytest.raises(UserError, match=r"No usable temporary directory .*\. Set TMPDIR"):
        workplace._root()

"""A terminal that lacks a character shows the nearest it has; one that has it shows it."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from lifecycle import terminal
from tests.conftest import ROOT

WORDS = "loss 1 → 2 · mean ± spread … “à” 8×8 – x² ≥ 3, 日 😀 \udcff"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", 'loss 1 -> 2 - mean +/- spread ... "a" 8x8 - x2 >= 3, ? ? ?'),
        ("latin-1", 'loss 1 -> 2 · mean ± spread ... "à" 8×8 - x² >= 3, ? ? ?'),
        ("cp1252", "loss 1 -> 2 · mean ± spread … “à” 8×8 – x² >= 3, ? ? ?"),
        ("utf-8", "loss 1 → 2 · mean ± spread … “à” 8×8 – x² ≥ 3, 日 😀 ?"),
    ],
)
def test_the_nearest_it_can_show(encoding: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    monkeypatch.setattr(sys, "stderr", None)  # a process may have none
    terminal.show_what_it_can()
    print(WORDS, end="", flush=True)
    assert written.getvalue().decode(encoding) == expected


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_tables_and_log_lines(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.BytesIO(), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding))
    terminal.show_what_it_can()
    table = Table("test metric")
    table.add_row("digits → 8×8")
    Console().print(table)
    logging.StreamHandler().emit(logging.makeLogRecord({"msg": "1 → 2"}))
    sys.stdout.flush()
    assert "digits -> 8" in out.getvalue().decode(encoding)
    assert err.getvalue() == b"1 -> 2\n"


@pytest.mark.slow
def test_in_every_step() -> None:
    """Also of the help and of errors, which come before anything else."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "steps.rollback", "--task", "d→g"]
    result = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith(b"error: Unknown task: 'd->g'.")


def test_what_greets_is_not_seen(capfd: pytest.CaptureFixture[str]) -> None:
    with terminal._nothing_on_stderr():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR")
    os.write(2, b"ours")
    assert capfd.readouterr().err == "ours"


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe without a reader fails otherwise there")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_work_goes_on_when_nobody_reads_its_words_any_more(stream: str, tmp_path: Path) -> None:
    done = tmp_path / "done"
    code = f"""
import sys
from pathlib import Path
from rich.console import Console
from lifecycle.terminal import go_on_unread
go_on_unread()
for _ in range(3):
    print("a line", file=sys.{stream}, flush=True)
    Console(file=sys.{stream}).print("a line")
Path({str(done)!r}).write_text(sys.{stream}.encoding)
"""
    read, write = os.pipe()
    os.close(read)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "iso8859-1"}
    out, err = (write if name == stream else subprocess.DEVNULL for name in ("stdout", "stderr"))
    result = subprocess.run([sys.executable, "-c", code], env=environment, stdout=out, stderr=err, check=False)
    os.close(write)
    assert (result.returncode, done.read_text()) == (0, "iso8859-1")

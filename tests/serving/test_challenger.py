"""A version in a process of its own, whatever it does there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from forms.answers.labels import Labels
from serving.gateway import challenger as module
from serving.gateway.challenger import Challenger, ChallengerError
from tests.conftest import ROOT

LABELS = Labels(("a", "b"))
BATCH = [(np.array([place]), np.array([0.9, 0.1], np.float32)) for place in range(3)]  # the champion says "a" to all
AGREES = "import numpy as np\ndef predict(items): return np.array([[0.8, 0.2]] * len(items))\n"


@pytest.fixture
def version(fake_mlflow: Path) -> Iterator[Challenger]:
    made = Challenger("4", LABELS, fake_mlflow, fake_mlflow)
    yield made
    made.dismiss()
    made.end()


def write(version: Challenger, code: str) -> None:
    (version._model / "code.py").write_text(code)


def process_of(version: Challenger) -> psutil.Process:
    assert version._process
    return psutil.Process(version._process.pid)


def test_each_answer_is_compared_with_the_champions(version: Challenger) -> None:
    """The second item gets another label, the third none, which is its fault alone."""
    write(
        version,
        "import numpy as np\n"
        "def predict(items):\n"
        "    print('words', flush=True)\n"
        "    assert input is not None and [2] not in [item.tolist() for item in items]\n"
        "    return np.array([[0.8, 0.2] if item[0] == 0 else [0.2, 0.8] for item in items])\n",
    )
    version.load()
    for _ in range(2):
        assert version.outcomes(BATCH) == ["agreed", "differed", "failed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("while True: pass", "no answer within 2 s"),
        ("import time; time.sleep(60)", "no answer within 2 s"),
        ("import os; os._exit(3)", "its process ended with exit code 3"),
        ("import sys; sys.exit('I leave')", "SystemExit: I leave"),
        ("import ctypes; ctypes.string_at(0)", "its process was ended by SIGSEGV"),
        ("import os, signal; os.kill(0, signal.SIGKILL)", "its process was ended by SIGKILL"),
        ("import ctypes; ctypes.PyDLL(None).sleep(60)", "no answer within 2 s"),  # lets nothing else run meanwhile
        (
            "import os\nfor file in range(3, 20):\n  try: os.write(file, b'[\"agreed\"]\\n')\n  except OSError: pass",
            "it said",
        ),
        (
            "import os\nfor file in range(3, 20):\n  try: os.write(file, b'[' * 30_000)\n  except OSError: pass",
            "it said",
        ),
    ],
    ids=range(9),
)
def test_what_it_does_instead_of_answering_ends_its_process_and_is_told(
    version: Challenger, code: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_SECONDS", 2.0)
    lines = "\n    ".join(code.splitlines())
    write(version, f"def predict(items):\n    {lines}\n    return 1\n")
    version.load()
    process = process_of(version)
    with pytest.raises(ChallengerError, match=cause):
        version.outcomes(BATCH)
    version.end()
    assert not version.is_running
    assert not process.is_running()
    write(version, AGREES)
    version.load()  # another process
    assert version.outcomes(BATCH) == ["agreed"] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to RLIMIT_DATA")
def test_what_eats_memory_gets_no_more_than_it_may(version: Challenger) -> None:
    """It asks for 100 GiB, a GiB at a time, of which nothing is used."""
    write(
        version,
        "import numpy as np\nkept = []\ndef predict(items):\n    while len(kept) < 100: kept.append(np.zeros(2**30))\n",
    )
    version.load()
    with pytest.raises(ChallengerError, match="MemoryError"):
        version.outcomes(BATCH)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("raise ValueError('no graph')", "ValueError: no graph"),
        ("import os; os._exit(0)", "its process ended with exit code 0"),
        ("import time; time.sleep(60)", "no answer within 2 s"),
        ("raise ValueError('x' * 10**6)", "ValueError: " + "x" * 988),
    ],
    ids=range(4),
)
def test_what_does_not_load_says_why(
    version: Challenger, code: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOAD_SECONDS", 2.0)
    write(version, code)
    with pytest.raises(ChallengerError) as error:
        version.load()
    assert str(error.value) == cause
    version.end()
    assert not version.is_running


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="ends the process only")
def test_what_it_started_ends_with_it(version: Challenger) -> None:
    pid = version._home / "pid"
    started = f"open({str(pid)!r}, 'w').write(str(subprocess.Popen(['sleep', '60']).pid))"
    write(version, f"import subprocess; {started}\n{AGREES}")
    version.load()
    child = psutil.Process(int(pid.read_text()))
    version.end()
    assert psutil.wait_procs([child], timeout=20)[1] == []


def test_one_that_is_dismissed_ends_at_once_and_is_not_started_again(version: Challenger) -> None:
    write(version, "import time\ndef predict(items): time.sleep(60)\n")
    version.load()
    timer = threading.Timer(0.2, version.dismiss)
    timer.start()
    started = time.monotonic()
    with pytest.raises(ChallengerError):
        version.outcomes(BATCH)
    assert time.monotonic() - started < 10
    timer.join()
    with pytest.raises(ChallengerError, match="it was dismissed"):
        version.load()
    assert not version.is_running


def test_it_gets_no_secrets_and_only_what_nobody_else_wants_of_the_machine(
    version: Challenger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "kept")
    write(version, AGREES)
    version.load()
    process = process_of(version)
    environment = process.environ()
    assert "kept" not in "".join(environment.values())
    assert {environment[name] for name in ("HOME", "TMPDIR")} == {str(version._home)}
    if sys.platform == "linux":
        assert process.nice() == 19
        assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
        assert os.getsid(process.pid) == os.getsid(0)  # whose sessions share out the CPUs before priority counts
        assert len(os.sched_getaffinity(process.pid)) == len(os.sched_getaffinity(0))
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text() == "1000\n"
    if sys.platform != "win32":
        assert os.getpgid(process.pid) != os.getpgid(0)  # Ctrl-C does not reach it


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX signals")
def test_it_ends_with_the_process_that_started_it_also_while_it_hangs(fake_mlflow: Path) -> None:
    (fake_mlflow / "code.py").write_text("import time\ndef predict(items): time.sleep(60)\n")
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from forms.answers.labels import Labels\n"
        "from serving.gateway import challenger\n"
        f"challenger.ROOT = {module.ROOT!r}\n"
        "folder = Path(sys.argv[1])\n"
        "version = challenger.Challenger('4', Labels(('a', 'b')), folder, folder)\n"
        "version.load()\n"
        "print(version._process.pid, flush=True)\n"
        "version.outcomes([(1, [1, 0])])\n"
    )
    command = [sys.executable, "-c", code, str(fake_mlflow)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        process = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    assert psutil.wait_procs([process], timeout=20)[1] == []

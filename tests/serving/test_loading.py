"""Versions whose code does what it should not while they are loaded."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving import package
from serving.gateway import loading
from serving.gateway.loading import Loader
from serving.gateway.trial import TrialError, try_to_load

FAKE = "def load_model(folder):\n    exec(open(folder + '/code.py').read(), {})\n"


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A version's folder, whose `code.py` is what its loading runs. MLflow itself takes two seconds to be imported."""
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").touch()
    (tmp_path / "mlflow" / "pyfunc.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("raise ValueError('no graph')", "ValueError: no graph"),
        ("import sys; sys.exit('I leave')", "SystemExit: I leave"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt: "),
        ("import os; os._exit(3)", "its process ended with exit code 3"),
        ("import os; os._exit(0)", "its process ended with exit code 0"),
        ("import ctypes; ctypes.string_at(0)", "its process was ended by SIGSEGV"),
        ("import os, signal; os.kill(0, signal.SIGKILL)", "its process was ended by SIGKILL"),
        (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
            "it is not ready after 1 s",
        ),
        ("while True: print('x' * 10**6)", "it is not ready after 1 s"),
        ("raise ValueError('x' * 10**6)", "ValueError: " + "x" * 988),
    ],
    ids=range(10),
)
def test_what_does_not_load_says_what_it_did_instead(version: Path, code: str, cause: str) -> None:
    (version / "code.py").write_text(code)
    with pytest.raises(TrialError) as error:
        try_to_load(version, 1 if "not ready" in cause else 20)
    assert str(error.value) == cause


@pytest.mark.parametrize(
    "code",
    [
        "",
        "print('hello')",
        "import os; os.chdir('/')",
        "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()",
    ],
    ids=range(4),
)
def test_what_loads_passes(version: Path, code: str) -> None:
    (version / "code.py").write_text(code)
    started = time.monotonic()
    try_to_load(version, 20)
    assert time.monotonic() - started < 10


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="ends the process only")
def test_what_a_version_started_ends_with_it(version: Path) -> None:
    pid = version / "pid"
    started = f"open({str(pid)!r}, 'w').write(str(subprocess.Popen(['sleep', '60']).pid))"
    (version / "code.py").write_text(f"import subprocess; {started}")
    try_to_load(version, 20)
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # until whoever adopted it has taken note
            os.kill(int(pid.read_text()), 0)
            time.sleep(0.05)


def test_the_process_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def load_model(folder: str) -> Any:
        os.chdir(folder)
        os.environ["PATH"] = "nowhere"
        os.environ["NEW"] = "1"
        del os.environ["KEPT"]
        sys.stdout = None

    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setattr(loading, "try_to_load", lambda *_: None)
    monkeypatch.setattr(loading, "load_model", load_model)
    before = Path.cwd(), dict(os.environ), sys.stdout
    Loader().load(tmp_path, "models:/digits/1")
    assert (Path.cwd(), dict(os.environ), sys.stdout) == before
    changes = "the working directory and the environment and the standard streams"
    assert caplog.messages == [f"models:/digits/1 changed {changes} while it was loaded; that was undone."]


def test_what_mlflow_does_meanwhile_is_not_the_versions_doing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread of MLflow drops the number of its session when it has learnt that nothing is to be reported."""
    monkeypatch.setenv("_MLFLOW_TELEMETRY_SESSION_ID", "1")
    monkeypatch.setattr(loading, "try_to_load", lambda *_: None)
    monkeypatch.setattr(loading, "load_model", lambda _: os.environ.pop("_MLFLOW_TELEMETRY_SESSION_ID"))
    Loader().load(tmp_path, "models:/digits/1")
    assert "_MLFLOW_TELEMETRY_SESSION_ID" not in os.environ
    assert caplog.messages == []


def test_what_has_passed_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []

    def fail_once(folder: Path, seconds: float) -> None:
        tried.append(folder)
        if len(tried) == 1:
            raise TrialError("no graph")

    monkeypatch.setattr(loading, "try_to_load", fail_once)
    monkeypatch.setattr(loading, "load_model", lambda folder: folder)
    loader = Loader()
    with pytest.raises(TrialError):
        loader.load(tmp_path, "1")
    for name in ("1", "1", "2"):
        assert loader.load(tmp_path, name) == str(tmp_path)
    assert len(tried) == 3


def test_two_versions_in_one_process_run_each_its_own_code(
    saved: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow puts the code of both on the path, under which a module has one name."""
    other = Path(shutil.copytree(package.SERVED, tmp_path / "served"))
    text = (other / "answers.py").read_text()
    (other / "answers.py").write_text(text.replace("return output\n", "return -output\n"))
    monkeypatch.setattr(package, "SERVED", other)
    shutil.rmtree(model / "code")
    (tmp_path / "written").mkdir()
    name = package.write_code(tmp_path / "written")
    shutil.copytree(tmp_path / "written" / name, model / "code" / name)
    shutil.copy(tmp_path / "written" / "model.py", model)

    monkeypatch.setattr(loading, "try_to_load", lambda *_: None)
    loader, items = Loader(), [np.zeros((8, 8), np.uint8)]
    first, second = loader.load(saved, "first"), loader.load(model, "second")
    np.testing.assert_array_equal(second.predict(items), -first.predict(items))
    assert not [place for place in sys.path if Path(place).is_relative_to(saved) or Path(place).is_relative_to(model)]

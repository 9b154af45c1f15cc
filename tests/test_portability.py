"""Windows and macOS, as far as they can be looked at from Linux. The project was never run on Windows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOMS, ROOT

# Imports every module where what only POSIX systems have cannot be imported, nor found in `os` and `signal`. Libraries
# are not to notice: they have their own ways on other systems.
SCRIPT = """
import builtins, importlib, os, pkgutil, signal, sys
import asyncio, filelock, jinja2, keras, matplotlib.pyplot, mlflow, multiprocessing.connection, onnxruntime, optuna
import psutil, rich.console, scipy.ndimage, sklearn.datasets, waitress.server
from concurrent.futures import process
ROOMS = sys.argv[1:]
POSIX = {"fcntl", "grp", "pwd", "resource", "termios", "uvloop"}
real = builtins.__import__

def without(name, globals=None, *more):
    ours = str((globals or {}).get("__name__", "")).split(".")[0] in ROOMS
    if ours and name.split(".")[0] in POSIX:
        raise ModuleNotFoundError(name)
    return real(name, globals, *more)

builtins.__import__ = without
sys.platform = "win32"
for name in ("getuid", "killpg", "setsid", "fork", "sched_getaffinity"):
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGUSR1"):
    delattr(signal, name)
ON_ITS_OWN = ("serving.container.protocol", "serving.container.server", "serving.container.warmup")  # of the image
import subprocess
subprocess.CREATE_NEW_PROCESS_GROUP = 512
for room in ROOMS:
    package = importlib.import_module(room)
    for module in pkgutil.walk_packages(package.__path__, room + "."):
        if not module.name.startswith(ON_ITS_OWN):
            importlib.import_module(module.name)
print("imported")
"""


def test_every_module_can_be_imported_without_what_only_posix_has() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *ROOMS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.stdout == "imported\n", result.stderr


@pytest.mark.network
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("platform", ["windows", "aarch64-apple-darwin", "linux"])
def test_the_pins_can_be_installed(platform: str, python: str) -> None:
    uv = shutil.which("uv", path=str(ROOT / ".venv" / "bin")) or shutil.which("uv")
    assert uv, "requirements-dev.txt is not installed"
    command = [uv, "pip", "compile", "--python-platform", platform, "--python-version", python, "--no-progress"]
    command += ["--only-binary", ":all:", "requirements.txt"]
    oldest = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}  # that ONNX Runtime is made for
    result = subprocess.run(command, cwd=ROOT, env=oldest, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert ("uvloop==" in result.stdout) == (platform != "windows")

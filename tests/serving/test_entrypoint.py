"""What a container does as it starts: it checks its model, and decides how many workers it has, by its control group's
files as Linux has them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serving.container import entrypoint, slim_down

MIB = 2**20


@pytest.fixture(autouse=True)
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the control group, on a machine of 8 CPUs, for a model that took 160 MiB."""
    monkeypatch.setattr(entrypoint, "CGROUP", tmp_path)
    monkeypatch.setattr(entrypoint, "PEAK", tmp_path / "peak_bytes")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "peak_bytes").write_text(str(160 * MIB))
    return tmp_path


def test_without_limits_there_is_one_for_every_cpu(group: Path) -> None:
    assert entrypoint.workers() == 8
    (group / "cpu.max").write_text("max 100000\n")
    (group / "memory.max").write_text("max\n")
    assert entrypoint.workers() == 8


@pytest.mark.parametrize(("quota", "mebibytes", "workers"), [(150_000, 8_000, 2), (800_000, 600, 2), (800_000, 100, 1)])
def test_cpus_and_memory_limit_them(group: Path, quota: int, mebibytes: int, workers: int) -> None:
    """256 MiB for each: what one took, and 96 MiB to spare."""
    (group / "cpu.max").write_text(f"{quota} 100000\n")
    (group / "memory.max").write_text(f"{mebibytes * MIB}\n")
    assert entrypoint.workers() == workers


def test_limits_of_the_first_version_of_control_groups_hold_too(group: Path) -> None:
    (group / "cpu").mkdir()
    (group / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    (group / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert entrypoint.workers() == 3
    (group / "memory").mkdir()
    (group / "memory" / "memory.limit_in_bytes").write_text(f"{512 * MIB}\n")
    assert entrypoint.workers() == 2


def test_a_number_that_is_set_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_MODELS_WORKERS", "3")
    assert entrypoint.workers() == 3
    monkeypatch.setenv("MLFLOW_MODELS_WORKERS", "many")
    with pytest.raises(SystemExit, match="MLFLOW_MODELS_WORKERS must be a whole number of at least 1, received 'many'"):
        entrypoint.workers()


@pytest.fixture
def image(model: Path, tmp_path: Path) -> Path:
    """What stands below /opt in the image of a model, by the lines of the Dockerfile."""
    context, root = tmp_path / "context", tmp_path / "image"
    shutil.copytree(model, context / "model_dir")
    slim_down(context)
    for sources, target in re.findall(r"^COPY (.+) /opt/(\S*)$", (context / "Dockerfile").read_text(), re.MULTILINE):
        if sources == "model_dir":
            shutil.copytree(context / sources, root / target)
            continue
        (root / target).mkdir(parents=True, exist_ok=True)
        for source in sources.split():
            shutil.copy(context / source, root / target)
    return root


def started(image: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The entry point as the image runs it, with a uvicorn that only says that it was started."""
    (folder / "uvicorn").write_text("#!/bin/sh\necho started")
    (folder / "uvicorn").chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "__pyfunc_model_path__": str(image / "ml" / "model")}
    return subprocess.run(
        [sys.executable, str(image / "entrypoint.py")],
        env=environment | {"MLFLOW_MODELS_WORKERS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_container_serves_the_model_that_it_was_made_with_and_no_other(image: Path, tmp_path: Path) -> None:
    assert started(image, tmp_path).stdout == "started\n"
    (image / "ml" / "model" / "artifacts" / "model.onnx").write_bytes(b"another graph")
    result = started(image, tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(
        r"error: \S+/ml/model is not what the image was made with: artifacts/model\.onnx has changed "
        r"\(SHA-256 [0-9a-f]{12}…, expected [0-9a-f]{12}…\)\. Restore the file, or build anew\.\n",
        result.stderr,
    )

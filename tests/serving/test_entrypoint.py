"""How many workers a container has, by its control group's files as Linux has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serving.container import entrypoint

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

"""How many train runs go at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serving.container import entrypoint
from steps import workers


@pytest.mark.parametrize(
    ("cpu_max", "memory_max", "has_gpu", "expected"),
    [
        ("max 100000", "max", False, 8),
        ("250000 100000", "max", False, 3),
        ("max 100000", "7000000", False, 7),
        ("max 100000", "100000", False, 1),
        ("max 100000", "max", True, 1),
    ],
)
def test_one_a_core_as_far_as_memory_reaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu_max: str, memory_max: str, has_gpu: bool, expected: int
) -> None:
    monkeypatch.setattr(entrypoint, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setattr(workers, "BYTES_EACH", 1e6)  # so that it does not matter what this machine has left
    monkeypatch.setattr(workers, "_has_gpu", lambda: has_gpu)
    (tmp_path / "cpu.max").write_text(cpu_max)
    (tmp_path / "memory.max").write_text(memory_max)
    assert workers.at_once(20) == expected
    assert workers.at_once(1) == 1

"""Recorders that write when a test says so."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from served import record
from served.record import Recorder
from served.record_files import Settings
from tests.served.recording import SOURCE, Make


@pytest.fixture(autouse=True)
def _heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is logged is seen by tests, also where uvicorn has set up its logging in this process before."""
    for name in ("uvicorn", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
    logger = logging.getLogger("uvicorn.error")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(before)


@pytest.fixture
def counts() -> list[tuple[int, int]]:
    """What was told: how many were recorded, and how many lost."""
    return []


@pytest.fixture
def make(tmp_path: Path, counts: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes recorders, which describe 160 items at once."""
    monkeypatch.setattr(record, "MOST_DESCRIBED", 160)
    made = []

    def recorder(
        features: Any = None, outputs: Any = None, most: int = 10**9, inputs: float = 0.0, repeats: bool = True
    ) -> Recorder:
        given = {"": ["cat", "dog"]} if outputs is None else outputs
        kept = Settings(tmp_path / "traffic", most, inputs)
        made.append(Recorder(kept, SOURCE, given, features, repeats, lambda *n: counts.append(n)))
        return made[-1]

    yield recorder
    for one in made:
        one.close()

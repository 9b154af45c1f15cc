"""Recorders that write when a test says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from served.record import Recorder
from served.record_files import Settings
from tests.served.recording import SOURCE, Make


@pytest.fixture
def counts() -> list[tuple[int, int]]:
    """What was told: how many were recorded, and how many lost."""
    return []


@pytest.fixture
def make(tmp_path: Path, counts: list[tuple[int, int]]) -> Iterator[Make]:
    made = []

    def recorder(features: Any = None, outputs: Any = None, most: int = 10**9, inputs: float = 0.0) -> Recorder:
        given = {"": ["cat", "dog"]} if outputs is None else outputs
        made.append(
            Recorder(Settings(tmp_path / "traffic", most, inputs), SOURCE, given, features, lambda *n: counts.append(n))
        )
        return made[-1]

    yield recorder
    for one in made:
        one.close()

"""How the tests of the record of traffic have something recorded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from served.record import Recorder

SOURCE = "models:/digits/3"
LABELS: dict[str, Any] = {"writer": "probabilities", "counted": {"": ["cat", "dog"]}, "columns": ["cat", "dog"]}
SHARES = np.array([[0.9, 0.1], [0.25, 0.75]], np.float32)
Make = Callable[..., Recorder]


def asked(recorder: Recorder, times: int = 1, shares: np.ndarray = SHARES[:1], value: float = 0.0) -> None:
    """Has requests noted, each about as many items as there are shares."""
    batch = np.full((len(shares), 2), value, np.float32)
    for _ in range(times):
        recorder.answered([batch], shares, 0.001)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("traffic/*/*.jsonl"))


def spooled(folder: Path) -> list[Path]:
    """What waits; `glob` would fail where a folder is removed at that moment."""
    return sorted(Path(place, name) for place, _, names in os.walk(folder / "spool" / "0") for name in names)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in files(folder) for line in path.read_text().splitlines()]


def columns_of(batch: np.ndarray) -> dict[str, np.ndarray]:
    return {f"column {place}": batch[:, place] for place in range(batch.shape[1])}

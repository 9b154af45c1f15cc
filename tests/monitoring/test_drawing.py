from __future__ import annotations

import io

import pytest

from monitoring import drawing
from monitoring.estimate import Estimate
from monitoring.windows import Watched


@pytest.mark.parametrize("seconds", [0.5, 60, 215, 3600, 86_400, 430_000, 30 * 86_400])
def test_windows_of_any_length_are_drawn(seconds: float) -> None:
    """Matplotlib warns of lengths for which it finds no ticks, and monitor may look in a window's fourth minute."""
    window = Watched("models:/digits/1", 0.0, seconds, 5, {}, (0.1, 0.2, 0.3), estimates={"": Estimate(0.9, 0.8, 0.95)})
    for figure in (drawing.accuracy([window], "", 0.97), drawing.operation([window])):
        figure.savefig(io.BytesIO())

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tasks.contract import UserError
from tasks.hippocampus.config import UNET
from tasks.hippocampus.model import build

TINY = replace(UNET, filters=2, depth=2)


def test_it_answers_for_each_voxel_of_volumes_of_any_size_and_scale() -> None:
    model = build(TINY)
    volume = np.random.default_rng(0).random((2, 7, 10, 5), dtype=np.float32)
    outputs = model.predict(volume, verbose=0)
    assert outputs.shape == (2, 7, 10, 5, 3)
    np.testing.assert_allclose(outputs.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(model.predict(1e6 * volume - 3e5, verbose=0), outputs, atol=1e-3)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"loss": "hinge"}, "loss"),
        ({"depth": 0}, "depth must be at least 1, received 0"),
        ({"filters": 0}, "filters must be at least 1, received 0"),
        ({"window": 2}, "window must be at least 3, received 2"),
    ],
)
def test_a_field_that_cannot_be_is_told(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        replace(UNET, **fields)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tasks.style.stylize import Settings, Sketch

pytestmark = pytest.mark.usefixtures("small_network")


def sketches(content: np.ndarray, style: np.ndarray, steps: int, **changes: Any) -> list[Sketch]:
    from tasks.style.optimization import stylize

    return list(stylize(content, style, Settings(steps=steps, **{"style_weight": 1.0, "learning_rate": 5.0} | changes)))


def test_losses_fall_and_the_picture_changes(china: np.ndarray, flower: np.ndarray) -> None:
    found = sketches(china, flower, 30)
    assert [sketch.step for sketch in found] == list(range(31))
    np.testing.assert_array_equal(found[0].picture, china)
    assert found[0].losses["content_loss"] == pytest.approx(0, abs=1e-6)
    assert found[-1].losses["style_loss"] < 0.5 * found[0].losses["style_loss"]
    for sketch in found:
        both = sketch.losses["content_loss"] + sketch.losses["style_loss"]
        assert sketch.losses["loss"] == pytest.approx(both, rel=1e-4)
        assert sketch.picture.shape == china.shape
        assert sketch.picture.dtype == np.uint8


@pytest.mark.slow
def test_from_noise_both_losses_fall(china: np.ndarray, flower: np.ndarray) -> None:
    found = sketches(china, flower, 30, start="noise")
    for name in ("content_loss", "style_loss"):
        assert found[-1].losses[name] < found[0].losses[name]


@pytest.mark.slow
def test_the_same_seed_paints_the_same(china: np.ndarray, flower: np.ndarray) -> None:
    first, second, other = (sketches(china, flower, 3, start="noise", seed=seed)[-1].picture for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_without_a_style_the_photograph_stays(china: np.ndarray, flower: np.ndarray) -> None:
    np.testing.assert_array_equal(sketches(china, flower, 3, style_weight=0.0)[-1].picture, china)

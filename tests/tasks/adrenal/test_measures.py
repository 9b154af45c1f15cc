from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.adrenal.figures import planes
from tasks.adrenal.measures import metrics, scores
from tasks.contract import Split


def found(targets: list[int], probabilities: list[float]) -> dict[str, float]:
    outputs = np.stack([1 - np.array(probabilities), probabilities], axis=1).astype(np.float32)
    split = Split(np.zeros((len(targets), 1, 1, 1), np.uint8), np.array(targets, np.int32))
    return metrics(scores(split, outputs))


def test_the_auc_is_the_share_of_pairs_in_order() -> None:
    # 0.6 is above two normal ones and level with one, 0.1 is above one and level with one: 2.5 and 1.5 of 6 pairs.
    result = found([1, 1, 0, 0, 0], [0.6, 0.1, 0.1, 0.6, 0.05])
    assert result["auc"] == pytest.approx((2.5 + 1.5) / 6)
    assert result["accuracy"] == pytest.approx(3 / 5)


def test_the_auc_does_not_ask_where_the_threshold_lies() -> None:
    result = found([0, 0, 1, 1], [0.01, 0.02, 0.03, 0.04])
    assert (result["auc"], result["accuracy"]) == (1.0, 0.5)


def test_half_is_not_above_half() -> None:
    assert found([0, 1], [0.5, 0.5])["accuracy"] == 0.5


def test_of_one_class_there_is_no_auc() -> None:
    assert "auc" not in found([0, 0], [0.1, 0.9])
    assert "auc" not in found([1, 1], [0.1, 0.9])


@pytest.mark.tools
def test_both_are_those_of_medmnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # importing it makes a folder there
    evaluator = pytest.importorskip("medmnist.evaluator", reason="medmnist is not installed; it needs torch")
    generator = np.random.default_rng(1)
    targets = generator.integers(0, 2, 298)
    probabilities = generator.random(298).round(2)
    outputs = np.stack([1 - probabilities, probabilities], axis=1).astype(np.float32)
    result = found(targets.tolist(), probabilities.tolist())
    for sent in (outputs, outputs[:, 1]):
        assert result["auc"] == pytest.approx(evaluator.getAUC(targets[:, None], sent, "binary-class"))
        assert result["accuracy"] == pytest.approx(evaluator.getACC(targets[:, None], sent, "binary-class"))
    sys.modules.pop("medmnist", None)


def test_planes_are_seen_through_along_each_axis() -> None:
    volume = np.zeros((1, 3, 3, 3), np.uint8)
    volume[0, 0, 1, 2] = volume[0, 1, 1, 2] = 255
    seen = planes(volume)[0]
    assert seen.shape == (3, 9)
    assert {tuple(place) for place in np.argwhere(seen == 1).tolist()} == {(1, 2), (0, 5), (1, 5), (0, 7), (1, 7)}

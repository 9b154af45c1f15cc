"""Somebody has the record and knows many inputs like those that were served: no input can be rebuilt from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge

from monitoring.record import read
from served import record
from served.features import Features, of_pictures
from tests.served.recording import SOURCE, Make, columns_of, files

LABELS = [str(digit) for digit in range(10)]


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written but where a test says so."""
    monkeypatch.setattr(record, "EVERY_SECONDS", 3600.0)


class Attack:
    """Rebuilds pictures from what is known of each, by what such things say of pictures that are known."""

    def __init__(self, known: dict[str, np.ndarray], pictures: np.ndarray) -> None:
        self._names = sorted(known)
        table = self._table(known)
        self._mean, self._deviation = table.mean(axis=0), table.std(axis=0) + 1e-6
        self._fitted = Ridge(1.0).fit((table - self._mean) / self._deviation, pictures.reshape(len(pictures), -1))

    def _table(self, known: dict[str, np.ndarray]) -> np.ndarray:
        return np.stack([known[name] for name in self._names], axis=1)

    def error(self, known: dict[str, np.ndarray], pictures: np.ndarray) -> float:
        """The mean squared error of the rebuilt pixels."""
        rebuilt = self._fitted.predict((self._table(known) - self._mean) / self._deviation)
        return float(((rebuilt - pictures.reshape(len(pictures), -1)) ** 2).mean())


def test_an_attack_with_the_record_does_no_better_than_with_the_answers_alone(make: Make, tmp_path: Path) -> None:
    pictures, digits = load_digits(return_X_y=True)
    pictures = (pictures.reshape(-1, 8, 8) * 15.9375).astype(np.float32)
    known, served = pictures[600:1400], pictures[1400:1550]
    network = LogisticRegression(C=1e-6, max_iter=200).fit(pictures[:600].reshape(-1, 64), digits[:600])
    components = PCA(12, random_state=0).fit(known.reshape(-1, 64))  # as the hidden layer has

    def features(batch: np.ndarray) -> Features:
        along = components.transform(batch.reshape(-1, 64))
        return of_pictures(batch) | {f"component {place}": one for place, one in enumerate(along.T)}

    def answers(batch: np.ndarray) -> dict[str, np.ndarray]:
        shares = network.predict_proba(batch.reshape(-1, 64))
        return {"confidence": shares.max(axis=1)} | {
            name: shares.argmax(axis=1) == place for place, name in enumerate(LABELS)
        }

    recorder = make(features, {"": LABELS}, repeats=False)
    for picture in served:
        recorder.answered([picture[None]], network.predict_proba(picture.reshape(1, 64)), 0.001)
    recorder.flush()
    lines = [json.loads(line) for path in files(tmp_path) for line in path.read_text().splitlines()]
    recorded = {
        name: np.array(values)
        for line in lines
        if line["type"] == "features"
        for name, values in line["features"].items()
        if not name.startswith("probability")
    }
    assert {len(values) for values in recorded.values()} == {150}

    with_answers = Attack(answers(known), known).error(answers(served), served)
    everything = Attack(answers(known) | features(known), known)
    # The attack is a good one where a row says what belongs together; the record says it of none.
    assert everything.error(answers(served) | features(served), served) < 0.6 * with_answers
    assert everything.error(answers(served) | recorded, served) > with_answers


def test_an_input_that_comes_again_and_again_does_not_stand_out(make: Make, tmp_path: Path) -> None:
    """Else its values would be the most frequent ones of their columns."""
    recorder = make(columns_of, repeats=False)
    mine = np.array([[31.0, 47.0]], np.float32)
    for second in range(3):
        for place in range(40):
            recorder.answered([mine], np.array([[0.875, 0.125]], np.float32), 0.001)
            other = np.array([[100 + place, 200 + place + 50 * second]], np.float32)
            recorder.answered([other], np.array([[0.5, 0.5]], np.float32), 0.001)
        recorder.flush()
    found = read(tmp_path / "traffic")
    assert len(found.rows) == 240
    for name, value in (("column 0", 31), ("column 1", 47), ("probability of cat", 0.875)):
        assert (found.features[SOURCE][name] == np.float32(value)).sum() == 1


def test_an_input_that_comes_alone_is_not_described(make: Make, tmp_path: Path) -> None:
    recorder = make(columns_of, repeats=False)
    for _ in range(3):
        for _ in range(100):
            recorder.answered([np.array([[31.0, 47.0]], np.float32)], np.array([[0.9, 0.1]], np.float32), 0.001)
        recorder.flush()
    found = read(tmp_path / "traffic")
    assert len(found.rows) == 300
    assert found.features == {}

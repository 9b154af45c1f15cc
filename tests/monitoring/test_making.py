from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from forms.answers.number import Number
from forms.items.values import Values
from monitoring.drift import alarms, findings
from monitoring.estimate import estimated
from monitoring.making import UNTOUCHED, Asked, hidden_of, make_profile
from monitoring.profile import Profile
from served.features import DISTANCE
from serving.export import export
from serving.hidden import expose_hidden
from tasks.contract import Split, get_task

TASK = get_task("digits")
MOST_BYTES = 1_000_000


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network of digits, trained for a second."""
    keras.utils.set_random_seed(1)
    config = TASK.configure(epochs=15, learning_rate=5e-3)
    model = TASK.build(config)
    TASK.fit(model, TASK.load("train"), TASK.load("validation"), config)
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export(model, path)
    expose_hidden(path, "")
    return path


@pytest.fixture(scope="module")
def profile(graph: Path) -> Profile:
    made = make_profile(TASK, graph, TASK.load("validation"))
    text = made.to_json()
    assert len(text) < MOST_BYTES
    kept = Profile.from_json(text)
    assert kept is not None
    return kept


def test_it_knows_items_answers_and_the_hidden_layer(profile: Profile) -> None:
    assert profile.examples == len(TASK.load("validation"))
    assert {"brightness", "probability of 3", "hidden layer, component 1"} <= profile.features.keys()
    assert profile.calibrations[""].accuracy > 0.9
    kinds = [trial.kind for trial in profile.trials[""]]
    assert kinds.count(UNTOUCHED) == 5
    assert len(set(kinds)) > 8
    assert profile.mixes[""].counts.sum() == profile.examples
    assert not profile.repeats  # no two digits are the same


def test_training_examples_are_no_drift_and_negatives_are(graph: Path, profile: Profile) -> None:
    asked, train = Asked(TASK, graph), TASK.load("train")
    as_they_are = asked.answers(train.inputs[:300]).window(profile.hidden)
    assert alarms(findings(profile, as_they_are)) == []
    estimate = estimated(profile, as_they_are)
    assert estimate.value is not None
    true = (as_they_are.predicted[""] == train.targets[:300]).mean()
    assert estimate.low <= true <= estimate.high
    negatives = asked.answers(16 - train.inputs[:300]).window(profile.hidden)
    assert len(alarms(findings(profile, negatives))) > 5
    assert estimated(profile, negatives).value is None


def test_a_number_is_watched_without_labels(tmp_path: Path) -> None:
    inputs = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    items = keras.Input((3,))
    model = keras.Model(items, keras.layers.Dense(1)(keras.layers.Dense(6, activation="relu")(items)))
    export(model, tmp_path / "model.onnx")
    expose_hidden(tmp_path / "model.onnx", "")
    task = dataclasses.replace(TASK, item=Values(), answer=Number())
    made = make_profile(task, tmp_path / "model.onnx", Split(inputs, inputs[:, 0]))
    assert {"mean", "answer", "hidden layer, distance"} <= made.features.keys()
    assert (made.labels, made.trials) == ({}, {})
    window = Asked(task, tmp_path / "model.onnx").answers(inputs[:100] + 3).window(made.hidden)
    assert {"mean", "answer"} & {one.name for one in alarms(findings(made, window))}


def test_few_examples_do_not_make_all_others_seem_further_off() -> None:
    """Twelve components of so few would leave over a tenth less of these than of others."""
    generator = np.random.default_rng(1)
    units, others = generator.normal(size=(90, 64)), generator.normal(size=(4_000, 64))
    hidden = hidden_of(units)
    assert hidden is not None
    assert hidden.features(units)[DISTANCE].mean() > 0.94 * hidden.features(others)[DISTANCE].mean()
    assert hidden_of(units[:40]) is None  # too few to say anything


def test_it_knows_whether_examples_repeat(graph: Path) -> None:
    few = TASK.load("validation").take(np.tile(np.arange(60), 3))
    assert make_profile(TASK, graph, few).repeats

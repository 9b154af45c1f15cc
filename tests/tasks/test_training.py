from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from serving.package import weights_digest
from tasks.contract import Config, Split, get_task
from tasks.training import Shuffled, fit

CONFIG = Config(model="dense", epochs=4, batch_size=32, learning_rate=1e-2)


@pytest.fixture(scope="module")
def splits() -> tuple[Split, Split]:
    task = get_task("digits")
    train, validation = task.load("train"), task.load("validation")
    return Split(train.inputs[:200], train.targets[:200]), validation


def built(config: Config) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    return get_task("digits").build(config)


def trained(config: Config, splits: tuple[Split, Split]) -> str:
    model = built(config)
    fit(model, *splits, config)
    return weights_digest(model)


def test_every_example_comes_once_an_epoch_the_last_batch_too(splits: tuple[Split, Split]) -> None:
    batches = Shuffled(splits[0], batch_size=64)
    batches.reorder(np.random.default_rng(3))
    assert [len(batches[index][0]) for index in range(len(batches))] == [64, 64, 64, 8]
    seen = np.concatenate([batches[index][1] for index in range(len(batches))])
    assert sorted(seen) == sorted(splits[0].targets)
    assert seen.tolist() != splits[0].targets.tolist()


def test_same_seed_same_weights_other_seed_other_weights(splits: tuple[Split, Split]) -> None:
    first = trained(CONFIG, splits)
    assert trained(CONFIG, splits) == first
    assert trained(dataclasses.replace(CONFIG, seed=2), splits) != first


def test_stopped_and_continued_ends_with_the_same_weights(splits: tuple[Split, Split], tmp_path: Path) -> None:
    """With dropout in the model and 200 examples in batches of 32: both the masks and the order have to be the same."""
    whole = built(CONFIG)
    fit(whole, *splits, CONFIG)

    stopped = built(CONFIG)
    fit(stopped, *splits, dataclasses.replace(CONFIG, epochs=2))
    stopped.save(tmp_path / "checkpoint.keras")
    keras.utils.set_random_seed(99)  # whatever state the new process is in
    continued = keras.models.load_model(tmp_path / "checkpoint.keras")
    fit(continued, *splits, CONFIG, initial_epoch=2)

    assert weights_digest(continued) == weights_digest(whole)
    assert weights_digest(continued) != weights_digest(stopped)

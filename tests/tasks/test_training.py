from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from serving.package import weights_digest
from tasks.contract import Config, Split, get_task
from tasks.training import Batches, fit, fuse, inputs_alone, one_cycle

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
    batches = Batches(splits[0], batch_size=64)
    batches.begin(0, np.random.default_rng(3))
    assert [len(batches[index][0]) for index in range(len(batches))] == [64, 64, 64, 8]
    seen = np.concatenate([batches[index][1] for index in range(len(batches))])
    assert sorted(seen) == sorted(splits[0].targets)
    assert seen.tolist() != splits[0].targets.tolist()


@pytest.mark.slow
def test_same_seed_same_weights_other_seed_other_weights(splits: tuple[Split, Split]) -> None:
    first = trained(CONFIG, splits)
    assert trained(CONFIG, splits) == first
    assert trained(dataclasses.replace(CONFIG, seed=2), splits) != first


@pytest.mark.slow
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


def test_inputs_and_targets_vary_with_place_and_epoch(splits: tuple[Split, Split]) -> None:
    def marked(inputs: np.ndarray, targets: np.ndarray, rows: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        np.testing.assert_array_equal(inputs, splits[0].inputs[rows])
        np.testing.assert_array_equal(targets, splits[0].targets[rows])
        return inputs * 0 + epoch, targets + 100 * epoch

    batches = Batches(splits[0], batch_size=64, augment=marked)
    for epoch in (0, 5):
        batches.begin(epoch, np.random.default_rng(3))
        for index in range(len(batches)):
            inputs, targets = batches[index]
            assert (inputs == epoch).all()
            assert (targets // 100 == epoch).all()


def test_inputs_may_vary_alone(splits: tuple[Split, Split]) -> None:
    batches = Batches(splits[0], 64, inputs_alone(lambda inputs, rows, epoch: inputs[::-1]))
    inputs, targets = batches[0]
    np.testing.assert_array_equal(inputs, splits[0].inputs[63::-1])
    np.testing.assert_array_equal(targets, splits[0].targets[:64])


def test_a_continued_run_sees_the_inputs_of_the_epochs_that_are_left(splits: tuple[Split, Split]) -> None:
    batches: Counter[int] = Counter()

    def watched(inputs: np.ndarray, rows: np.ndarray, epoch: int) -> np.ndarray:
        batches[epoch] += 1
        return inputs

    fit(built(CONFIG), *splits, CONFIG, initial_epoch=1, augment=inputs_alone(watched))
    assert {epoch: batches[epoch] for epoch in (1, 2, 3)} == {1: 7, 2: 7, 3: 7}
    assert batches[0] <= 2  # Keras looks at a batch before it begins


def test_one_cycle_rises_for_a_fifth_of_the_steps_and_falls_to_a_hundredth() -> None:
    rate = one_cycle(Config(model="any", epochs=10, batch_size=64, learning_rate=0.5), train_size=630)  # 10 × 10 steps
    rates = [float(rate(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[20] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.005)
    assert np.argmax(rates) == 20
    assert all(later < earlier for earlier, later in pairwise(rates[20:]))


@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1}, {"clipnorm": 0.01}, {"gradient_accumulation_steps": 2}], ids=str
)
def test_a_fused_update_is_keras_s_update(options: dict[str, Any]) -> None:
    def after(fused: bool) -> list[np.ndarray]:
        generator = np.random.default_rng(1)
        variables = [keras.Variable(generator.normal(size=shape), dtype="float32") for shape in ((4, 3), (3,))]
        schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
        optimizer = keras.optimizers.Adam(schedule, beta_1=0.8, **options)
        optimizer.build(variables)
        if fused:
            fuse(optimizer)
        for _ in range(5):
            gradients = [keras.ops.convert_to_tensor(generator.normal(size=v.shape), "float32") for v in variables]
            optimizer.apply(gradients, variables)
        return [keras.ops.convert_to_numpy(variable) for variable in [*variables, *optimizer.variables]]

    for keras_s, fused in zip(after(False), after(True), strict=True):
        np.testing.assert_allclose(fused, keras_s, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.1, amsgrad=True)])
def test_other_optimizers_are_left_alone(optimizer: keras.optimizers.Optimizer) -> None:
    before = optimizer.update_step
    fuse(optimizer)
    assert optimizer.update_step == before


def test_a_model_trained_so_is_saved_with_keras_s_own_optimizer(splits: tuple[Split, Split], tmp_path: Path) -> None:
    model = built(CONFIG)
    fit(model, *splits, CONFIG)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is keras.optimizers.Adam
    assert int(loaded.optimizer.iterations) == CONFIG.epochs * 7


def test_small_steps_are_taken_several_at_a_call(splits: tuple[Split, Split]) -> None:
    model = built(CONFIG)
    fit(model, *splits, CONFIG)
    assert model.steps_per_execution == 1  # of the 7 of an epoch
    fit(model, *splits, dataclasses.replace(CONFIG, batch_size=1, epochs=1))
    assert model.steps_per_execution == 10  # of 200

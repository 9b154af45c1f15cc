"""What the rest of the project relies on, for every task there is."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from pathlib import Path
from typing import Any, get_args

import keras
import mlflow
import numpy as np
import pytest

from serving.package import package
from tasks.contract import Config, Split, SplitName, Task, get_task, task_names
from tests.conftest import available

MOST_EXAMPLES, MOST_VALUES = 64, 2**17
CORNER = 128  # pixels, of pictures that may be of any size

TAKES_LONG = {("cifar10", "fast"), ("cifar10", "resnet"), ("style", "feedforward")}
MODELS = [
    pytest.param(*named, id="-".join(named), marks=[pytest.mark.slow] if named in TAKES_LONG else [])
    for named in ((task, model) for task in task_names() for model in get_task(task).models)
]


@pytest.fixture(params=task_names())
def task(request: pytest.FixtureRequest) -> Task:
    return available(request.param)


@functools.cache
def some(name: str, split_name: SplitName) -> Split:
    """A split's first examples, as many as take little time; of large pictures a corner."""
    split = get_task(name).load(split_name)
    inputs, targets = split.inputs, split.targets
    if inputs.shape == targets.shape:
        inputs, targets = inputs[:, :CORNER, :CORNER], targets[:, :CORNER, :CORNER]
    count = max(2, min(MOST_EXAMPLES, MOST_VALUES // inputs[0].size))
    # Copies, since a view would keep the whole split.
    return dataclasses.replace(split, inputs=inputs[:count].copy(), targets=targets[:count].copy())


def answers(task: Task, split: Split) -> np.ndarray:
    """Outputs as a model might give them."""
    return task.answer.likely(split.inputs, np.random.default_rng(0))


def test_splits_are_alike_and_apart(task: Task) -> None:
    splits = {name: task.load(name) for name in get_args(SplitName)}
    assert len({split.digest for split in splits.values()}) == 3
    assert (
        len({(s.inputs.dtype, s.inputs.shape[1:], s.targets.dtype, s.targets.shape[1:]) for s in splits.values()}) == 1
    )
    assert all(len(split) > 0 and np.isfinite(split.inputs).all() for split in splits.values())
    assert task.load("validation").digest == splits["validation"].digest


def test_models_are_named_as_their_configuration_says(task: Task) -> None:
    assert {name: config.model for name, config in task.models.items()} == {name: name for name in task.models}
    assert task.configure().model == task.default_model


def test_studies_compare_models_that_can_be_built(task: Task) -> None:
    examples = len(task.load("train"))
    for name, study in task.studies.items():
        assert study.question.endswith("?"), name
        assert len(set(study.variants.values())) == len(study.variants) > 1, f"{name} has two names for one variant"
        for config in study.variants.values():
            assert config.model in task.models
            assert config.train_examples <= examples
            assert task.build(config).count_params() > 0


def test_the_search_is_through_fields_of_the_configuration(task: Task) -> None:
    if task.search is None:
        pytest.skip("it has no search")
    for name, wanted in task.search.space.items():
        values = wanted if isinstance(wanted, tuple) else (wanted.low, wanted.high)
        whole = isinstance(getattr(task.search.base, name), int) and not isinstance(wanted, tuple)
        for value in values:
            changed: dict[str, Any] = {name: int(value) if whole else value}
            assert task.build(dataclasses.replace(task.search.base, **changed))


@pytest.mark.parametrize(("name", "model_name"), MODELS)
def test_it_learns_and_is_served_as_it_learnt(name: str, model_name: str, tmp_path: Path) -> None:
    task = available(name)
    config = task.models[model_name]
    keras.utils.set_random_seed(1)
    model = task.build(config)
    learns_from(task, model, config)
    validation = some(name, "validation")
    packaged = package(task, model, validation, tmp_path)
    loaded = keras.models.load_model(packaged.artifacts["keras"])
    expected = model.predict(validation.inputs, verbose=0)
    np.testing.assert_array_equal(loaded.predict(validation.inputs, verbose=0), expected)
    assert packaged.parity < task.answer.tolerance(packaged.outputs)
    packaged.write(mlflow.pyfunc.save_model, path=tmp_path / "model")
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(served.predict(validation.inputs.tolist()), packaged.outputs)


def learns_from(task: Task, model: keras.Model, config: Config) -> None:
    """One epoch gives a finite loss and changes weights."""
    before = [np.copy(weights) for weights in model.get_weights()]
    split = some(task.name, "train")
    losses: list[float] = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))
    task.fit(model, split, split, dataclasses.replace(config, epochs=1), callbacks=[watch])
    assert np.isfinite(losses).all()
    assert len(losses) == 1
    assert any(not np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


def test_a_perfect_prediction_gets_the_best_score(task: Task) -> None:
    validation = some(task.name, "validation")
    perfect = task.answer.perfect(validation.targets)
    if perfect is None:
        pytest.skip("no answer is the only right one")
    metrics = task.metrics(task.scores(validation, perfect))
    assert metrics[task.primary.name] == pytest.approx(1.0 if task.primary.higher_is_better else 0.0)
    assert metrics["loss"] == pytest.approx(0.0, abs=1e-6)


def test_the_primary_metric_is_the_mean_of_the_scores(task: Task) -> None:
    validation = some(task.name, "validation")
    scores = task.scores(validation, answers(task, validation))
    assert scores.score.mean() == pytest.approx(task.metrics(scores)[task.primary.name])
    assert len(scores) == len(scores.slice) == len(validation)
    assert all(len(column) == len(validation) for column in scores.columns.values())


def test_figures_can_be_drawn(task: Task, tmp_path: Path) -> None:
    validation = some(task.name, "validation")
    own = task.model_figures(task.build(task.configure()), validation) if task.model_figures else ()
    names = []
    for name, figure in itertools.chain(task.figures(validation, answers(task, validation)), own):
        figure.savefig(tmp_path / name)
        names.append(name)
    assert len(names) == len(set(names)) > 0

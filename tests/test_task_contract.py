"""What the rest of the project relies on, for every task there is."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import keras
import mlflow
import numpy as np
import pytest

from forms.outputs import arrays, each
from lifecycle.fingerprint import form_modules
from lifecycle.used_code import used_code
from serving.package import package
from tasks.contract import Config, Split, SplitName, Task, batches, get_task, task_names
from tests.conftest import ROOT, available
from tests.toys import bloom, bubbles, diabetes, negative, rods, strokes

MOST_EXAMPLES, MOST_VALUES = 64, 2**17
CORNER = 128  # pixels, of pictures that may be of any size

TOYS = {toy.TASK.name: toy.TASK for toy in (bloom, bubbles, diabetes, negative, rods, strokes)}
NAMES = [*task_names(), *TOYS]


@functools.cache
def changed_files() -> set[str] | None:
    """Paths from the root of what differs from the last commit; None where git does not tell."""
    command = ["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=all", "--no-renames"]
    status = subprocess.run(command, capture_output=True, text=True, check=False)
    return {line[3:] for line in status.stdout.splitlines()} if status.returncode == 0 else None


def is_changed(task: Task) -> bool:
    """Whether somebody works on the code that this task trains with. Its models are built, trained and exported on
    every run then; else with the slow tests."""
    changed = changed_files()
    return changed is None or not changed.isdisjoint(used_code(task.name, form_modules(task), ROOT))


def models() -> Iterator[Any]:
    for task in (TOYS.get(name) or get_task(name) for name in NAMES):
        marks = [] if task.name in TOYS or is_changed(task) else [pytest.mark.slow]
        yield from (pytest.param(task.name, model, id=f"{task.name}-{model}", marks=marks) for model in task.models)


def known(name: str) -> Task:
    return TOYS.get(name) or available(name)


@pytest.fixture(params=NAMES)
def task(request: pytest.FixtureRequest) -> Task:
    return known(request.param)


@functools.cache
def some(name: str, split_name: SplitName) -> Split:
    """A split's first examples of one shape, as many as take little time; of large pictures a corner."""
    split = known(name).load(split_name)
    first, has_place_for_place = split.inputs[0], split.inputs.shape == getattr(split.targets, "shape", None)
    size = first[:CORNER, :CORNER].size if has_place_for_place else first.size
    rows = batches(split.inputs, max(2, min(MOST_EXAMPLES, len(split), MOST_VALUES // size)))[0]
    inputs, targets = split.inputs[rows], each(lambda one: one[rows], split.targets)
    if has_place_for_place:
        inputs, targets = (one[:, :CORNER, :CORNER] for one in (inputs, targets))
    return dataclasses.replace(split, inputs=inputs, targets=targets, groups=None)


def answers(task: Task, split: Split) -> Any:
    """Outputs as a model might give them."""
    return task.answer.likely(split.inputs, np.random.default_rng(0))


def test_splits_are_alike_and_apart(task: Task) -> None:
    splits = {name: task.load(name) for name in get_args(SplitName)}
    assert len({split.digest for split in splits.values()}) == 3
    kinds = {
        tuple((one.dtype, one.shape[1:]) for one in (split.inputs, *arrays(split.targets))) for split in splits.values()
    }
    assert len(kinds) == 1
    assert all(len(split) > 0 for split in splits.values())
    assert all(np.isfinite(item).all() for split in splits.values() for item in split.inputs)
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


@pytest.mark.parametrize(("name", "model_name"), list(models()))
def test_it_learns_and_is_served_as_it_learnt(name: str, model_name: str, tmp_path: Path) -> None:
    task = known(name)
    config = task.shrunk(task.models[model_name])
    keras.utils.set_random_seed(1)
    model = task.build(config)
    learns_from(task, model, config)
    validation = some(name, "validation")
    packaged = package(task, model, validation, tmp_path)
    loaded = keras.models.load_model(packaged.artifacts["keras"])
    expected = model.predict(validation.inputs, verbose=0)
    each(np.testing.assert_array_equal, loaded.predict(validation.inputs, verbose=0), expected)
    assert packaged.parity < min(arrays(task.answer.tolerance(packaged.outputs)))
    packaged.save_model(tmp_path / "model")
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    # Items of any size are asked about one by one: what is added up in another order is rounded otherwise.
    atol = 1e-5 if None in task.item.shape(validation.inputs) else 0
    answered = served.predict(validation.inputs.tolist())
    each(functools.partial(np.testing.assert_allclose, rtol=0, atol=atol), answered, packaged.outputs)


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
    own = task.model_figures(task.build(task.shrunk(task.configure())), validation) if task.model_figures else ()
    names = []
    for name, figure in itertools.chain(task.figures(validation, answers(task, validation)), own):
        figure.savefig(tmp_path / name)
        names.append(name)
    assert len(names) == len(set(names)) > 0

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from lifecycle import runs
from lifecycle.fingerprint import (
    CONFIG_TAG,
    TAG,
    Fingerprint,
    _code_digests,
    changes_since,
    equal_run,
    fingerprint,
    log_fingerprint,
)
from registry.candidates import NUMBER_METRIC
from tasks.contract import get_task
from tests.conftest import ROOMS, ROOT

WANTED = Fingerprint(code={}, config={"epochs": 3}, data={}, libraries={})


@pytest.fixture
def experiment(store: MlflowClient) -> str:
    return str(store.create_experiment("made"))


def trained(client: MlflowClient, experiment: str, started: int, number: int | None) -> str:
    """The id of a finished run that trained what is wanted."""
    tags = {TAG: WANTED.digest, CONFIG_TAG: WANTED.config_digest}
    run_id = str(client.create_run(experiment, start_time=started, tags=tags).info.run_id)
    if number is not None:
        client.log_batch(run_id, [Metric(NUMBER_METRIC, number, started, 0)])
    client.set_terminated(run_id)
    return run_id


def test_the_newest_equal_run_is_the_one_logged_last_whatever_the_clock_said(
    store: MlflowClient, experiment: str
) -> None:
    trained(store, experiment, started=9_000, number=None)  # before runs were numbered
    trained(store, experiment, started=3_000, number=1)
    newest = trained(store, experiment, started=2_000, number=2)
    found = equal_run(store, experiment, WANTED)
    assert found is not None
    assert found.info.run_id == newest
    changed = changes_since(store, experiment, WANTED, {})
    assert changed is not None
    assert changed[0] == newest


def test_runs_without_a_number_are_taken_by_their_time(store: MlflowClient, experiment: str) -> None:
    newest = trained(store, experiment, started=2_000, number=None)
    trained(store, experiment, started=1_000, number=None)
    found = equal_run(store, experiment, WANTED)
    assert found is not None
    assert found.info.run_id == newest


DIGITS = get_task("digits")
SHORT = dataclasses.replace(DIGITS.models["dense"], epochs=2)
DATA = {"train": "a", "validation": "b"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the project."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / "tree" / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", tmp_path / "tree")
    return tmp_path / "tree"


def append(file: Path) -> None:
    file.write_text(file.read_text() + "\n# A comment.\n")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("README.md", None),
        ("tasks/digits/README.md", None),
        ("tasks/digits/studies.py", None),
        ("tasks/mnist/model.py", None),
        ("lifecycle/promotion.py", None),
        ("tasks/digits/model.py", "code tasks/digits/model.py"),
        ("tasks/training.py", "code tasks/training.py"),
        ("lifecycle/training.py", "code lifecycle/training.py"),
        ("serving/package.py", "code serving/package.py"),
        ("served/session.py", "code served/session.py"),
        ("contract/task.py", "code contract/task.py"),
        ("contract/errors.py", None),
        ("tasks/cifar10/layers.py", None),
        ("tasks/sources.py", "code tasks/sources.py"),
        ("forms/items/ink.py", "code forms/items/ink.py"),
        ("forms/pictures.py", "code forms/pictures.py"),
        ("forms/items/photograph.py", None),
        ("forms/answers/number.py", None),
    ],
)
def test_only_code_that_takes_part_counts(tree: Path, file: str, change: str | None) -> None:
    before = fingerprint(DIGITS, SHORT, DATA, tree)
    append(tree / file)
    assert fingerprint(DIGITS, SHORT, DATA, tree).digest == before.digest  # this process goes on with what it has read
    _code_digests.cache_clear()
    after = fingerprint(DIGITS, SHORT, DATA, tree)
    assert (after.digest == before.digest) is (change is None)
    assert after.changes(before) == ([change] if change else [])


def one_pixel() -> dict[str, str]:
    split = DIGITS.load("train")
    inputs = split.inputs.copy()
    inputs[500, 3, 4] ^= 1
    return DATA | {"train": dataclasses.replace(split, inputs=inputs).digest}


@pytest.mark.parametrize(
    ("config", "data", "changes"),
    [
        (dataclasses.replace(SHORT, seed=2), None, ["configuration seed"]),
        (dataclasses.replace(SHORT, learning_rate=2.0000001e-3), None, ["configuration learning_rate"]),
        (SHORT, one_pixel, ["train data"]),
    ],
)
def test_configuration_and_data_count(
    config: Any, data: Callable[[], dict[str, str]] | None, changes: list[str]
) -> None:
    whole = DATA | {"train": DIGITS.load("train").digest}
    before = fingerprint(DIGITS, SHORT, whole)
    after = fingerprint(DIGITS, config, data() if data else whole)
    assert after.digest != before.digest
    assert after.changes(before) == changes


def test_a_run_is_found_by_its_fingerprint_once_it_has_finished(store: MlflowClient) -> None:
    wanted = fingerprint(DIGITS, SHORT, DATA)
    other = Fingerprint(wanted.code, wanted.config, {"train": "x", "validation": "b"}, wanted.libraries)
    experiment = runs.experiment_of(store, DIGITS)
    with mlflow.start_run(experiment_id=experiment) as run:
        log_fingerprint(wanted)
        assert equal_run(store, experiment, wanted) is None
    found = equal_run(store, experiment, wanted)
    assert found is not None
    assert found.info.run_id == run.info.run_id
    assert equal_run(store, experiment, other) is None
    assert changes_since(store, experiment, other, {"variant": "none"}) == (run.info.run_id, ["train data"])
    store.delete_run(run.info.run_id)
    assert equal_run(store, experiment, wanted) is None

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import tasks
from tasks.contract import Config, Scores, Split, UserError, get_task, how_to_run, task_names


@dataclass(frozen=True)
class Extended(Config):
    dropout: float = 0.5
    augment: bool = False
    width: int = 16


@pytest.fixture
def extended() -> Extended:
    return Extended(model="m", epochs=3, batch_size=8, learning_rate=0.1)


def test_unknown_task_suggests_the_nearest() -> None:
    available = ", ".join(task_names())
    with pytest.raises(UserError, match=rf"Unknown task: 'mnits'. Did you mean 'mnist'\? Available: {available}"):
        get_task("mnits")


@pytest.mark.parametrize("name", ["contract", "sources", "..", "", "mnist.data"])
def test_what_is_no_folder_of_tasks_is_no_task(name: str) -> None:
    with pytest.raises(UserError, match="Unknown task"):
        get_task(name)


def test_a_broken_task_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/__init__.py").write_text("TASK = 1")
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    assert "broken" in task_names()
    with pytest.raises(TypeError, match=r"tasks/broken/__init__\.py must define TASK, .* received 1"):
        get_task("broken")
    del sys.modules["tasks.broken"]


def test_unknown_model_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Unknown model of mnist: 'ccn'. Did you mean 'cnn'\? Available: dense, cnn"):
        get_task("mnist").configure("ccn")


def test_zero_and_empty_keep_the_tasks_own() -> None:
    task = get_task("mnist")
    assert task.configure(epochs=0, learning_rate=0.0, seed=None) == task.models["dense"]
    assert task.configure("cnn", epochs=2, seed=7).epochs == 2
    assert task.configure("cnn", epochs=2, seed=7).batch_size == task.models["cnn"].batch_size


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", -1, "epochs must be at least 1, received -1"),
        ("batch_size", -8, "batch_size must be at least 1, received -8"),
        ("seed", -1, "seed must be at least 1, received -1"),
        ("seed", 2**32, "seed must be below 4294967296, received 4294967296"),
        ("learning_rate", -0.1, "learning_rate must be a finite number above 0, received -0.1"),
        ("learning_rate", float("nan"), "learning_rate must be a finite number above 0, received nan"),
        ("learning_rate", float("inf"), "learning_rate must be a finite number above 0, received inf"),
    ],
)
def test_impossible_values_are_refused(field: str, value: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        get_task("mnist").configure(**{field: value})  # type: ignore[arg-type]


def test_overrides_get_the_type_of_their_field(extended: Extended) -> None:
    task = dataclasses.replace(get_task("mnist"), models={"m": extended})
    config = task.configure(overrides={"dropout": "0", "augment": "True", "width": "32", "epochs": "9"})
    assert config == dataclasses.replace(extended, dropout=0.0, augment=True, width=32, epochs=9)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("width", "1.5", "override width must be of type int, received '1.5'"),
        ("dropout", "much", "override dropout must be of type float, received 'much'"),
        ("augment", "1", "override augment must be true or false, received '1'"),
        ("widht", "1", "Unknown override: 'widht'. Did you mean 'width'?"),
        ("model", "x", "Unknown override: 'model'"),
    ],
)
def test_bad_overrides_are_refused(extended: Extended, key: str, text: str, message: str) -> None:
    task = dataclasses.replace(get_task("mnist"), models={"m": extended})
    with pytest.raises(UserError) as caught:
        task.configure(overrides={key: text})
    assert message in str(caught.value)


def test_the_digest_sees_every_value_shape_and_type() -> None:
    inputs, targets = np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.array([0, 1], np.int32)
    changed = inputs.copy()
    changed[-1, -1, -1] += 1
    variants = [
        Split(inputs, targets),
        Split(changed, targets),
        Split(inputs.reshape(2, 4, 3), targets),
        Split(inputs, targets[::-1]),
        Split(inputs, targets.astype(np.int64)),
        Split(inputs, targets, judge="vgg16"),
    ]
    assert len({split.digest for split in variants}) == len(variants)
    assert Split(inputs[::-1][::-1], targets).digest == variants[0].digest


def test_a_part_of_a_split_is_judged_as_the_whole() -> None:
    part = Split(np.zeros((4, 3)), np.zeros(4), judge="vgg16").subset(2, seed=1)
    assert (len(part), part.judge) == (2, "vgg16")


def test_a_split_needs_as_many_targets_as_inputs() -> None:
    with pytest.raises(ValueError, match="Expected as many targets as inputs, received 1 for 2"):
        Split(np.zeros((2, 3)), np.zeros(1))
    with pytest.raises(ValueError, match="Expected a group for each of 2 inputs, received 3"):
        Split(np.zeros((2, 3)), np.zeros(2), groups=np.zeros(3))


def test_groups_go_with_their_examples() -> None:
    part = Split(np.zeros((4, 3)), np.arange(4), groups=np.array(["a", "a", "b", "c"])).take(np.array([3, 0]))
    assert part.groups is not None
    assert (part.targets.tolist(), part.groups.tolist()) == ([3, 0], ["c", "a"])


def test_columns_of_scores_have_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="other names than group"):
        Scores(np.zeros(2), np.array(["a", "b"]), {"group": np.zeros(2)})


@pytest.mark.parametrize(
    ("environment", "manager"),
    [
        ("project/.venv", " --env-manager local"),
        ("envs/mlflow-0123/conda-meta", ""),
        (".mlflow/envs/mlflow-0123", " --env-manager uv"),
    ],
)
def test_what_to_run_next_runs_in_the_environment_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str, manager: str
) -> None:
    (tmp_path / environment).mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / environment.removesuffix("/conda-meta")))
    assert how_to_run("evaluate", task="digits") == f"mlflow run . -e evaluate -P task=digits{manager}"

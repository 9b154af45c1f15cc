"""kill -9 where it hurts, and many promotions at once: the champion still serves and the next command works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from lifecycle import promotion
from lifecycle.promotion import promote
from lifecycle.rollback import rollback
from registry import candidates
from registry.candidates import models_of
from registry.ledger import ALIAS, Ledger
from serving.rehearsal import Rehearsal
from tasks.contract import get_task
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
TASK = get_task("digits")

# Runs a step in a process of its own. The rehearsal is taken as passed: it is slow, and not what is tested here.
# At the chosen call the process kills itself as the operating system or an operator would.
PRELUDE = """
import os, signal, sys
from mlflow import MlflowClient
from serving.rehearsal import Rehearsal
from steps import promote, rollback
from tasks.contract import get_task
promote.rehearse = lambda *_: Rehearsal(1.0, 0.0, 3, 25, 1.0, 2.0)
task = get_task("digits")

def die_at(name, before):
    real = getattr(MlflowClient, name)
    def call(*args, **kwargs):
        if before:
            os.kill(os.getpid(), signal.SIGKILL)
        real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(MlflowClient, name, call)
"""


def script(tmp_path: Path, body: str) -> list[str]:
    path = tmp_path / "process.py"
    path.write_text(PRELUDE + body)
    return [sys.executable, str(path)]


def killed(tmp_path: Path, body: str) -> bool:
    """Runs a step in a process that dies on the way, and whether it did."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(script(tmp_path, body), env=environment, timeout=120, check=False)
    return result.returncode == -signal.SIGKILL


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "rehearse", lambda *_: Rehearsal(1.0, 0.0, 3, 25, 1.0, 2.0))


def serves(client: MlflowClient, model_id: str) -> bool:
    """Whether the alias points to this model and the model answers."""
    version = client.get_model_version_by_alias("digits", ALIAS)
    served = mlflow.pyfunc.load_model(f"models:/digits@{ALIAS}")
    answer = served.predict(TASK.load("validation").inputs[:3].tolist())
    return candidates.model_id_of(version) == model_id and answer.shape == (3, 10)


def settled(client: MlflowClient) -> Ledger:
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    ledger = Ledger.open(client, "digits", experiment.experiment_id)
    moves = ledger.settle()
    assert moves[-1].after == ledger.champion()
    return ledger


# The place in a move where the process dies, and whether the move had been decided by then.
PLACES = [
    pytest.param("log_param", True, False, id="before the move is decided"),
    pytest.param("log_param", False, True, id="after it is decided"),
    pytest.param("set_registered_model_alias", True, True, id="before the alias moves"),
    pytest.param("set_registered_model_alias", False, True, id="after the alias moved"),
]


@pytest.mark.parametrize(("call", "before", "decided"), PLACES)
def test_killed_during_promote(
    trained_store: MlflowClient, tmp_path: Path, call: str, before: bool, decided: bool
) -> None:
    _, better, good = models_of(trained_store, TASK)
    assert promote(TASK, good.uri)
    assert killed(tmp_path, f"die_at({call!r}, before={before})\npromote.promote(task, {better.uri!r})")
    moved = call == "set_registered_model_alias" and not before
    assert serves(trained_store, better.model_id if moved else good.model_id)

    assert promote(TASK, better.uri) != decided
    assert serves(trained_store, better.model_id)
    moves = settled(trained_store).moves()
    assert [(move.kind, move.after) for move in moves] == [("promotion", "1"), ("promotion", "2")]


@pytest.mark.parametrize(("call", "before", "decided"), PLACES)
def test_killed_during_rollback(
    trained_store: MlflowClient, tmp_path: Path, call: str, before: bool, decided: bool
) -> None:
    _, better, good = models_of(trained_store, TASK)
    assert promote(TASK, good.uri)
    assert promote(TASK, better.uri)
    assert killed(tmp_path, f"die_at({call!r}, before={before})\nrollback.rollback(task)")
    moved = call == "set_registered_model_alias" and not before
    assert serves(trained_store, good.model_id if moved else better.model_id)

    # The next command of any kind completes what was decided; a rollback that was not decided is simply done again.
    settled(trained_store)
    assert serves(trained_store, good.model_id if decided else better.model_id)
    if not decided:
        assert rollback(TASK) == "1"
    assert serves(trained_store, good.model_id)
    kinds = [move.kind for move in settled(trained_store).moves()]
    assert kinds == ["promotion", "promotion", "rollback"]


def test_three_promotes_at_once(trained_store: MlflowClient, tmp_path: Path) -> None:
    """Two of the better model and one of the good one, all at once: every version once, every real move once."""
    _, better, good = models_of(trained_store, TASK)
    uris = [better.uri, good.uri, better.uri]
    body = "print('ready', flush=True); sys.stdin.readline(); promote.promote(task, sys.argv[1])"
    command = script(tmp_path, body)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen([*command, uri], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for uri in uris
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3

    versions = trained_store.search_model_versions("name = 'digits'")
    assert len({candidates.model_id_of(version) for version in versions}) == len(versions) == 2
    moves = settled(trained_store).moves()
    assert [move.number for move in moves] == list(range(1, len(moves) + 1))
    assert [move.before for move in moves] == [None, *(move.after for move in moves[:-1])]
    assert all(move.kind == "promotion" and move.before != move.after for move in moves)
    # Everybody who said that there is a new champion made a move, and every move has somebody who said so.
    assert sum("is the new champion" in output for output in outputs) == len(moves)

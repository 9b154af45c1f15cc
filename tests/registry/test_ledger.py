from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient

import registry.ledger
from registry.ledger import (
    ALIAS,
    LEDGER_TAG,
    ConflictError,
    Ledger,
    Move,
    champion,
)

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "made"


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.ledger, "GRACE_SECONDS", 0.3)


@pytest.fixture
def experiment(store: MlflowClient) -> str:
    return str(store.create_experiment(NAME))


@pytest.fixture
def ledger(store: MlflowClient, experiment: str) -> Ledger:
    """The ledger of a registered model with versions 1 to 5."""
    result = Ledger.open(store, NAME, experiment)
    for _ in range(5):
        store.create_model_version(NAME, source="s3://made/up")
    return result


def promote(ledger: Ledger, version: str) -> Move:
    return ledger.move(ledger.settle(), "promotion", version, "better", {"difference": 0.1})


def test_a_move_sets_the_alias_and_is_kept(ledger: Ledger, store: MlflowClient) -> None:
    promote(ledger, "1")
    promote(ledger, "3")
    assert store.get_model_version_by_alias(NAME, ALIAS).version in (3, "3")
    first, second = ledger.settle()
    assert (first.number, first.kind, first.before, first.after, first.why) == (1, "promotion", None, "1", "better")
    assert (second.number, second.before, second.after, second.figures) == (2, "1", "3", {"difference": 0.1})


def test_it_is_found_again(ledger: Ledger, store: MlflowClient, experiment: str) -> None:
    promote(ledger, "2")
    again = Ledger.open(store, NAME, experiment)
    assert again.run_id == ledger.run_id
    assert [move.after for move in again.moves()] == ["2"]


def test_the_history_can_be_read_on_the_runs_page(ledger: Ledger, store: MlflowClient) -> None:
    promote(ledger, "1")
    note = store.get_run(ledger.run_id).data.tags["mlflow.note.content"]
    assert "| 1 | " in note
    assert "| promotion | — | 1 | better |" in note


def test_moves_by_earlier_and_by_later_code_are_read(ledger: Ledger, store: MlflowClient) -> None:
    move = {"number": 1, "kind": "promotion", "before": None, "after": "1", "why": "better", "time": "2026", "id": "a"}
    store.log_param(ledger.run_id, "move_0001", json.dumps(move))
    later = move | {"number": 2, "before": "1", "after": "2", "files": "abc", "weather": "fine"}
    store.log_param(ledger.run_id, "move_0002", json.dumps(later))
    assert [(one.after, one.files) for one in ledger.settle()] == [("1", None), ("2", "abc")]
    assert ledger.champion() == "2"


def test_a_long_history_shows_the_latest_moves_whole(ledger: Ledger, store: MlflowClient) -> None:
    """MLflow cuts a description off after 8,000 characters, which was where the latest moves stood."""
    for number in range(1, 61):
        ledger._append(Move(number, "promotion", str(number - 1), str(number), f"No worse: {'so many words ' * 15}."))
    ledger._describe()
    note = store.get_run(ledger.run_id).data.tags["mlflow.note.content"]
    assert len(note) <= 8_000
    rows = [line for line in note.splitlines() if line.startswith("| ") and not line.startswith("| #")]
    assert rows[0].startswith("| 60 | ")
    assert len(rows) > 25
    assert all(row.endswith(". |") for row in rows)


def test_without_model_or_alias_there_is_no_champion(store: MlflowClient) -> None:
    assert champion(store, NAME) is None
    store.create_registered_model(NAME)
    assert champion(store, NAME) is None


def test_a_move_from_a_stale_view_is_a_conflict_and_changes_nothing(ledger: Ledger) -> None:
    stale = ledger.settle()
    promote(ledger, "1")
    with pytest.raises(ConflictError):
        ledger.move(stale, "promotion", "2", "better", {})
    assert ledger.champion() == "1"
    assert len(ledger.moves()) == 1


def test_a_decided_move_is_completed_by_whoever_comes_next(ledger: Ledger) -> None:
    promote(ledger, "1")
    ledger._append(Move(2, "promotion", "1", "2", "the process died here"))
    assert ledger.champion() == "1"
    assert [move.after for move in ledger.settle()] == ["1", "2"]
    assert ledger.champion() == "2"


def test_a_slow_process_does_not_set_the_alias_back(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees its move not applied, then sleeps so long that another applies it and makes the next one."""
    promote(ledger, "1")
    slow = Move(2, "promotion", "1", "2", "decided, then the process slept")
    ledger._append(slow)
    is_applied = Ledger._is_applied
    looked: list[Move] = []

    def sleepy(self: Ledger, move: Move) -> bool:
        if move == slow and not looked:
            looked.append(move)
            promote(ledger, "3")
            return False
        return is_applied(self, move)

    monkeypatch.setattr(Ledger, "_is_applied", sleepy)
    ledger._apply(slow)
    assert looked
    assert ledger.champion() == "3"
    assert [move.kind for move in ledger.settle()] == ["promotion"] * 3


def test_an_alias_set_back_for_a_moment_is_not_taken_for_a_hand(
    ledger: Ledger, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.ledger, "GRACE_SECONDS", 5.0)
    promote(ledger, "1")
    promote(ledger, "2")
    store.set_registered_model_alias(NAME, ALIAS, "1")  # a slow process has just done that
    repair = threading.Timer(0.5, store.set_registered_model_alias, (NAME, ALIAS, "2"))
    repair.start()
    assert [move.kind for move in ledger.settle()] == ["promotion", "promotion"]
    repair.join()


def test_a_decided_move_to_a_version_that_is_gone_does_not_block(ledger: Ledger, store: MlflowClient) -> None:
    promote(ledger, "1")
    ledger._append(Move(2, "promotion", "1", "2", "the process died here"))
    store.delete_model_version(NAME, "2")
    assert ledger.settle()[-1].after == "1"
    assert ledger.champion() == "1"
    promote(ledger, "3")
    assert ledger.champion() == "3"


def test_an_alias_set_by_hand_is_respected_and_noted(ledger: Ledger, store: MlflowClient) -> None:
    promote(ledger, "1")
    store.set_registered_model_alias(NAME, ALIAS, "4")
    moves = ledger.settle()
    assert [(move.kind, move.before, move.after) for move in moves] == [
        ("promotion", None, "1"),
        ("by hand", "1", "4"),
    ]
    assert ledger.champion() == "4"
    assert ledger.settle() == moves


def test_an_alias_removed_by_hand_is_noted(ledger: Ledger, store: MlflowClient) -> None:
    promote(ledger, "1")
    store.delete_registered_model_alias(NAME, ALIAS)
    assert ledger.settle()[-1].after is None
    promote(ledger, "2")
    assert ledger.champion() == "2"


def test_a_model_registered_before_there_was_a_ledger(store: MlflowClient, experiment: str) -> None:
    store.create_registered_model(NAME)
    store.create_model_version(NAME, source="s3://made/up")
    store.set_registered_model_alias(NAME, ALIAS, "1")
    ledger = Ledger.open(store, NAME, experiment)
    assert [(move.kind, move.after) for move in ledger.settle()] == [("by hand", "1")]


def test_a_deleted_ledger_run_is_restored(ledger: Ledger, store: MlflowClient, experiment: str) -> None:
    promote(ledger, "1")
    store.delete_run(ledger.run_id)
    again = Ledger.open(store, NAME, experiment)
    promote(again, "2")
    assert [move.after for move in again.moves()] == ["1", "2"]


def test_a_ledger_whose_tag_was_lost_is_found_again(ledger: Ledger, store: MlflowClient, experiment: str) -> None:
    promote(ledger, "1")
    store.delete_registered_model_tag(NAME, LEDGER_TAG)
    assert Ledger.open(store, NAME, experiment).run_id == ledger.run_id


def test_a_ledger_whose_tag_was_lost_is_found_again_though_the_clock_was_set_back(
    ledger: Ledger, store: MlflowClient, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(ledger, "1")
    store.delete_registered_model_tag(NAME, LEDGER_TAG)
    monkeypatch.setattr("mlflow.tracking._tracking_service.client.get_current_time_millis", lambda: 1)
    again = Ledger.open(store, NAME, experiment)
    assert again.run_id == ledger.run_id
    assert [move.after for move in again.moves()] == ["1"]


def test_a_ledger_run_that_is_gone_for_good_is_replaced(ledger: Ledger, store: MlflowClient, experiment: str) -> None:
    promote(ledger, "1")
    store.set_registered_model_tag(NAME, LEDGER_TAG, "0" * 32)
    store.delete_run(ledger.run_id)
    again = Ledger.open(store, NAME, experiment)
    assert again.run_id != ledger.run_id
    assert [(move.kind, move.after) for move in again.settle()] == [("by hand", "1")]


@pytest.mark.slow
def test_four_at_once_make_four_moves(ledger: Ledger, store: MlflowClient, experiment: str, tmp_path: Path) -> None:
    """Each process wants to move the alias once, and decides anew whenever another was faster."""
    script = tmp_path / "mover.py"
    script.write_text(
        f"""
import sys
from mlflow import MlflowClient
from registry.ledger import ConflictError, Ledger
ledger = Ledger.open(MlflowClient(), {NAME!r}, {experiment!r})
print("ready", flush=True)
sys.stdin.readline()
while True:
    try:
        ledger.move(ledger.settle(), "promotion", sys.argv[1], "process " + sys.argv[2], {{}})
        break
    except ConflictError:
        continue
"""
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(1 + number % 5), str(number)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait(timeout=90) for process in processes] == [0] * 4
    for process in processes:
        process.communicate()

    moves = ledger.moves()
    assert [move.number for move in moves] == [1, 2, 3, 4]
    assert sorted(move.why for move in moves) == [f"process {number}" for number in range(4)]
    assert [move.before for move in moves] == [None, *(move.after for move in moves[:-1])]
    assert ledger.champion() == moves[-1].after
    assert ledger.settle() == moves

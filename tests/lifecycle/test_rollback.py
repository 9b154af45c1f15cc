"""Rollback on real models of digits."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle import promotion
from lifecycle.promotion import promote
from lifecycle.rollback import rollback
from registry import candidates
from registry.ledger import ALIAS
from serving.rehearsal import Rehearsal, RehearsalError
from tasks.contract import UserError
from tests.conftest import PASSED
from tests.lifecycle.models import TASK, champion, ledger, trained


@pytest.mark.usefixtures("quick")
def test_rollback_goes_back_and_best_leaves_out_what_was_rolled_back(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good, better, _ = trained(trained_store)
    promote(TASK, good.uri)
    promote(TASK, better.uri)
    assert champion(trained_store) == better.model_id
    assert rollback(TASK) == "1"
    assert champion(trained_store) == good.model_id
    with caplog.at_level(logging.INFO):
        assert not promote(TASK, "best")
    assert champion(trained_store) == good.model_id
    assert "Left out, because rolled back: version 2." in caplog.text
    assert promote(TASK, better.uri)  # named, it may come back
    assert champion(trained_store) == better.model_id
    assert [move.kind for move in ledger(trained_store).moves()] == ["promotion", "promotion", "rollback", "promotion"]


@pytest.mark.usefixtures("quick")
def test_rolled_back_weights_do_not_come_back_by_themselves(
    trained_store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training repeats exactly, so the same run again has the same weights under another id."""
    good, better, linear = trained(trained_store)
    promote(TASK, linear.uri)
    promote(TASK, good.uri)
    rollback(TASK)
    assert good.weights is not None
    trained_store.set_logged_model_tags(better.model_id, {candidates.WEIGHTS_TAG: good.weights})
    assert not promote(TASK, "best")
    assert champion(trained_store) == linear.model_id
    assert not promote(TASK, better.uri, by_a_person=False)
    assert "Left out, because rolled back: version 2 has the same weights." in capsys.readouterr().out
    trained_store.delete_model_version("digits", "2")  # nor does it matter whether the version is still there
    assert not promote(TASK, "best")


@pytest.mark.usefixtures("quick")
def test_what_was_put_in_by_hand_and_rolled_back_does_not_come_back_either(trained_store: MlflowClient) -> None:
    good, better, _ = trained(trained_store)
    promote(TASK, good.uri)
    version = candidates.register(trained_store, TASK, better)
    trained_store.set_registered_model_alias("digits", ALIAS, str(version.version))
    assert rollback(TASK) == "1"
    assert not promote(TASK, "best")
    assert champion(trained_store) == good.model_id


@pytest.mark.usefixtures("quick")
def test_rollback_without_an_earlier_champion_says_so(trained_store: MlflowClient) -> None:
    good, _, _ = trained(trained_store)
    with pytest.raises(UserError, match="digits has no earlier champion to roll back to"):
        rollback(TASK)
    promote(TASK, good.uri)
    with pytest.raises(UserError, match="digits has no earlier champion to roll back to"):
        rollback(TASK)
    assert champion(trained_store) == good.model_id


@pytest.mark.usefixtures("quick")
def test_rollback_passes_over_a_version_that_is_gone(
    trained_store: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    good, better, linear = trained(trained_store)
    record = ledger(trained_store)
    for candidate in (good, linear, better):
        version = candidates.register(trained_store, TASK, candidate)
        record.move(record.settle(), "promotion", str(version.version), "made up", {})
    trained_store.delete_model_version("digits", "2")
    assert rollback(TASK) == "1"
    assert "Version 2 is passed over" in caplog.text


@pytest.mark.usefixtures("quick")
def test_rollback_passes_over_a_version_that_fails_its_rehearsal(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for candidate in reversed(trained(trained_store)):  # linear, better, good
        promote(dataclasses.replace(TASK, primary=dataclasses.replace(TASK.primary, margin=1.0)), candidate.uri)
    outcomes: Iterator[Rehearsal | RehearsalError] = iter([RehearsalError("its answers differ"), PASSED])

    def rehearse(_: Path, latency_bound_ms: float) -> Rehearsal:
        assert latency_bound_ms == math.inf  # a machine in trouble is slow
        outcome = next(outcomes)
        if isinstance(outcome, RehearsalError):
            raise outcome
        return outcome

    monkeypatch.setattr(promotion, "rehearse", rehearse)
    assert rollback(TASK) == "1"
    assert "Version 2 is passed over: its answers differ" in caplog.text
    said = trained_store.get_model_version("digits", "2").tags["rehearsal"]
    assert not said.startswith(candidates.FAILED)  # it may have been the store's fault, or the machine's


@pytest.mark.usefixtures("quick")
def test_a_champion_from_elsewhere_can_be_rolled_back(trained_store: MlflowClient) -> None:
    good, _, _ = trained(trained_store)
    promote(TASK, good.uri)
    trained_store.create_model_version("digits", source="s3://somewhere/else")
    trained_store.set_registered_model_alias("digits", ALIAS, "2")
    assert rollback(TASK) == "1"
    assert champion(trained_store) == good.model_id

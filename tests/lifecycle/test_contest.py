"""Who stands against whom, where something of it is gone, changed or somebody else's."""

from __future__ import annotations

import logging
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from lifecycle import contest
from lifecycle.promotion import promote
from lifecycle.rollback import rollback
from lifecycle.scoring import log_predictions
from registry import candidates, gate
from registry.candidates import Candidate
from registry.ledger import ALIAS
from serving.rehearsal import RehearsalError
from tasks.contract import Scores, Task, UserError
from tests.lifecycle.models import TASK, champion, last_run, trained


@pytest.mark.usefixtures("quick")
def test_a_deleted_champion_run_is_said_and_does_not_hinder(
    trained_store: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    good, better, _ = trained(trained_store)
    promote(TASK, good.uri)
    trained_store.delete_run(good.run_id)
    assert good.evaluation_run is not None
    trained_store.delete_run(good.evaluation_run)
    assert promote(TASK, better.uri)
    assert f"The run {good.run_id} that trained the champion, version 1, was deleted." in caplog.text
    trained_store.delete_run(better.run_id)
    assert rollback(TASK) == "1"
    assert f"The run {better.run_id} that trained the champion, version 2, was deleted." in caplog.text
    assert champion(trained_store) == good.model_id


@pytest.mark.usefixtures("quick")
def test_an_evaluation_that_is_gone_for_good_is_made_anew(
    trained_store: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    good, better, _ = trained(trained_store)
    promote(TASK, good.uri)
    trained_store.set_logged_model_tags(good.model_id, {candidates.EVALUATION_TAG: "0" * 32})
    with caplog.at_level(logging.INFO):
        assert promote(TASK, better.uri)
    assert f"The evaluation of {good.uri} is gone, or its file was changed; it is evaluated anew." in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_what_was_evaluated_on_other_data_is_not_compared(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good, better, _ = trained(trained_store)
    promote(TASK, good.uri)
    kept = candidates.scores

    def on_other_data(client: MlflowClient, candidate: Candidate) -> tuple[Scores, str] | None:
        found = kept(client, candidate)
        return (found[0], "0" * 64) if found and candidate.evaluation_run == good.evaluation_run else found

    monkeypatch.setattr(candidates, "scores", on_other_data)
    with caplog.at_level(logging.INFO):
        assert promote(TASK, better.uri)
    assert "The two were evaluated on different test data; both are evaluated anew." in caplog.text
    for before in (good, better):
        assert candidates.find(trained_store, TASK, before.uri).evaluation_run != before.evaluation_run


def scored(client: MlflowClient, candidate: Candidate, lost: int, data: str | None = None) -> Candidate:
    """The candidate with an evaluation in which it is wrong on the first so many examples of a slice of its own.

    Args:
        client: Of the tracking store.
        candidate: A trained model.
        lost: How many of 360 examples it is wrong on.
        data: Digest of other test data; None for that of the task.
    """
    table = Scores(np.where(np.arange(360) < lost, 0.0, 1.0), np.full(360, "all"), {})
    with mlflow.start_run(experiment_id=last_run(client, "train").info.experiment_id) as run:
        log_predictions(table)
        mlflow.log_param("data.test_digest", data or TASK.load("test").digest)
        mlflow.log_metric("test_accuracy", float(table.score.mean()), model_id=candidate.model_id)
    client.set_logged_model_tags(candidate.model_id, {candidates.EVALUATION_TAG: run.info.run_id})
    return candidates.find(client, TASK, candidate.uri)


def kept(client: MlflowClient, candidate: Candidate) -> Scores:
    found = candidates.scores(client, candidate)
    assert found is not None
    return found[0]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_champions_do_not_decline_margin_by_margin(
    trained_store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """The third is no worse than the second, but both losses together are more than the margin."""
    first, second, third = (scored(trained_store, m, 2 * i) for i, m in enumerate(trained(trained_store)))
    assert promote(TASK, first.uri)
    assert promote(TASK, second.uri)
    assert gate.decide(TASK.primary, kept(trained_store, third), kept(trained_store, second)).promote
    assert not promote(TASK, third.uri)
    words = capsys.readouterr().out
    assert (
        "was not promoted. Not shown to be no worse than version 1, the best champion so far: accuracy 0.9889 " in words
    )
    assert champion(trained_store) == second.model_id
    assert last_run(trained_store, "promote").data.metrics["gate_former_difference"] == pytest.approx(-4 / 360)
    equal = scored(trained_store, third, 0)
    assert promote(TASK, equal.uri)
    assert (
        "No worse than version 1, the best champion so far: accuracy 1.0000 against 1.0000" in capsys.readouterr().out
    )


def test_a_former_champion_that_cannot_be_compared_is_said_and_the_next_best_is_the_measure(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def does_not_load(_: Task, uri: str) -> Candidate:
        raise RehearsalError(f"{uri} does not load")

    first, second, third = trained(trained_store)
    first = scored(trained_store, first, 0, data="0" * 64)
    second, third = (scored(trained_store, model, lost) for model, lost in ((second, 2), (third, 4)))
    replaced = [str(candidates.register(trained_store, TASK, model).version) for model in (first, second)]
    data = TASK.load("test").digest
    with monkeypatch.context() as patch:  # on today's data it is not as good as it was
        patch.setattr(contest, "evaluate", lambda *_: scored(trained_store, first, 1))
        found = contest.best_former_champion(trained_store, TASK, third, data, replaced)
    assert found is not None
    assert (found.version, found.scores.score.mean()) == ("1", 359 / 360)

    scored(trained_store, first, 0, data="0" * 64)
    monkeypatch.setattr(contest, "evaluate", does_not_load)
    found = contest.best_former_champion(trained_store, TASK, third, data, [*replaced, "7"])
    assert found is not None
    assert found.version == "2"
    assert f"Nothing can be compared with version 1, a champion before: {first.uri} does not load" in caplog.text
    assert (
        "Nothing can be compared with version 7, a champion before: There is no model 'models:/digits/7'" in caplog.text
    )
    assert contest.best_former_champion(trained_store, TASK, second, data, replaced[1:]) is None  # it is the candidate


@pytest.mark.usefixtures("quick")
def test_a_champion_whose_model_is_gone_can_be_replaced(
    trained_store: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    good, better, _ = trained(trained_store)
    promote(TASK, good.uri)
    trained_store.delete_logged_model(good.model_id)
    assert promote(TASK, better.uri)
    assert "Nothing can be compared with the champion, version 1: There is no model " in caplog.text
    assert champion(trained_store) == better.model_id


@pytest.mark.usefixtures("quick")
def test_a_champion_whose_files_are_gone_can_be_replaced_even_by_its_like(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good, better, _ = trained(trained_store)
    promote(TASK, good.uri)
    assert good.weights is not None
    trained_store.set_logged_model_tags(better.model_id, {candidates.WEIGHTS_TAG: good.weights})
    assert not promote(TASK, better.uri)
    monkeypatch.setattr(MlflowClient, "list_logged_model_artifacts", lambda *_: [])
    assert promote(TASK, better.uri)
    assert f"The files of the champion, {good.uri}, are gone." in caplog.text
    assert champion(trained_store) == better.model_id


@pytest.mark.usefixtures("quick")
def test_a_champion_that_does_not_load_is_not_the_candidates_fault(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def does_not_load(task: Task, uri: str) -> Candidate:
        assert uri == good.uri
        raise RehearsalError(f"{uri} does not load")

    good, better, _ = trained(trained_store)
    promote(TASK, good.uri)
    trained_store.set_logged_model_tags(good.model_id, {candidates.EVALUATION_TAG: "0" * 32})
    monkeypatch.setattr(contest, "evaluate", does_not_load)
    with pytest.raises(UserError, match=f"Nothing can be compared with the champion: {good.uri} does not load"):
        promote(TASK, better.uri)
    assert champion(trained_store) == good.model_id


@pytest.mark.usefixtures("quick")
def test_what_to_do_about_a_champion_that_train_did_not_make_is_told(
    trained_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, better, _ = trained(trained_store)
    promote(TASK, good.uri)
    (tmp_path / "MLmodel").write_text("")
    foreign = trained_store.create_model_version("digits", str(tmp_path))
    trained_store.set_registered_model_alias("digits", ALIAS, foreign.version)
    with pytest.raises(UserError, match=r"Nothing can be compared with the champion.*rollback -P task=digits"):
        promote(TASK, better.uri)
    rollback(TASK)
    assert champion(trained_store) == good.model_id

"""Promotion and rollback on real models of digits. Where the rehearsal is not what is tested, it is taken as passed."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from lifecycle import contest, promotion
from lifecycle.model_files import ModelFiles
from lifecycle.promotion import promote
from lifecycle.rollback import rollback
from lifecycle.scoring import evaluate, log_predictions
from lifecycle.training import train
from registry import candidates, gate
from registry import ledger as ledger_module
from registry.candidates import Candidate, models_of
from registry.ledger import ALIAS, Ledger
from serving import rehearsal as rehearsal_module
from serving.rehearsal import Rehearsal, RehearsalError, TooSlowError
from steps import promote as promote_step
from steps.cli import main
from steps.main import lifecycle
from tasks.contract import Scores, Task, UserError, get_task
from tests.conftest import PASSED

TASK = get_task("digits")
NOTE = "mlflow.note.content"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "rehearse", lambda *_: PASSED)
    monkeypatch.setattr(ledger_module, "GRACE_SECONDS", 0.3)  # nobody else moves the alias here


def trained(client: MlflowClient) -> tuple[Candidate, Candidate, Candidate]:
    """Good, better on validation, linear."""
    linear, better, good = models_of(client, TASK)[-3:]
    assert good.metrics["val_accuracy"] < better.metrics["val_accuracy"]
    assert linear.metrics["val_accuracy"] < better.metrics["val_accuracy"]
    return good, better, linear


def champion(client: MlflowClient) -> str:
    """The champion's logged model."""
    return candidates.model_id_of(client.get_model_version_by_alias("digits", ALIAS))


def ledger(client: MlflowClient) -> Ledger:
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    return Ledger.open(client, "digits", experiment.experiment_id)


def last_run(client: MlflowClient, step: str) -> mlflow.entities.Run:
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], f"tags.step = '{step}'", max_results=1)[0]


def test_the_first_promotion_rehearses_and_sets_the_alias(
    trained_store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    _, better, _ = trained(trained_store)
    assert promote(TASK, "best")
    assert champion(trained_store) == better.model_id
    version = trained_store.get_model_version_by_alias("digits", ALIAS)
    rehearsal = json.loads(version.tags["rehearsal"])
    assert rehearsal["golden"] == 3
    assert rehearsal["hostile"] == 27
    assert 0 < rehearsal["p50_ms"] <= rehearsal["p95_ms"] <= TASK.latency_bound_ms
    assert rehearsal["parity"] < 1e-5
    assert "There was no champion to compare with" in version.tags["gate"]
    assert "is the new champion. There was no champion to compare with" in capsys.readouterr().out
    served = mlflow.pyfunc.load_model(f"models:/digits@{ALIAS}")
    test = TASK.load("test")
    assert np.mean(served.predict(test.inputs.tolist()).argmax(axis=1) == test.targets) > 0.9


@pytest.mark.usefixtures("quick")
def test_the_best_on_validation_is_taken_and_stays(
    trained_store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    _, better, _ = trained(trained_store)
    assert promote(TASK, "best")
    assert champion(trained_store) == better.model_id
    assert not promote(TASK, "best")
    assert "is the champion already; nothing to do." in capsys.readouterr().out
    assert len(ledger(trained_store).moves()) == 1


@pytest.mark.usefixtures("quick")
def test_a_worse_candidate_is_refused_with_the_numbers(
    trained_store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    _, better, linear = trained(trained_store)
    promote(TASK, better.uri)
    assert not promote(TASK, linear.uri)
    assert champion(trained_store) == better.model_id
    words = capsys.readouterr().out
    assert "linear, seed 1" in words
    assert "was not promoted." in words
    run = last_run(trained_store, "promote")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["gate_difference"] < 0
    assert "was not promoted." in run.data.tags[NOTE]
    assert trained_store.get_model_version("digits", "2").tags[candidates.REFUSED_TAG] == "1"


@pytest.mark.slow
@pytest.mark.usefixtures("quick", "no_figures")
def test_the_same_weights_again_are_no_new_champion(
    trained_store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    good, _, _ = trained(trained_store)
    promote(TASK, good.uri)
    again = train(TASK, TASK.configure(epochs=6, learning_rate=5e-3))
    evaluate(TASK, again.model_uri)
    assert not promote(TASK, again.model_uri)
    assert "is the champion already" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_what_was_never_evaluated_is_refused(trained_store: MlflowClient) -> None:
    models = trained(trained_store)
    for model in models:
        trained_store.delete_logged_model_tag(model.model_id, candidates.EVALUATION_TAG)
    command = "mlflow run . -e evaluate -P task=digits -P model_uri=models:/m-"
    with pytest.raises(UserError, match=f"was never evaluated. Run: {command}"):
        promote(TASK, models[0].uri)
    with pytest.raises(UserError, match="digits has no evaluated candidate"):
        promote(TASK, "best")


def test_a_broken_candidate_raises_and_the_version_says_why(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Rehearsal:
        raise RehearsalError("its answers differ")

    good, better, _ = trained(trained_store)
    with monkeypatch.context() as patch:
        patch.setattr(promotion, "rehearse", lambda *_: PASSED)
        promote(TASK, good.uri)
    monkeypatch.setattr(promotion, "rehearse", broken)
    with pytest.raises(RehearsalError):
        promote(TASK, better.uri)
    assert champion(trained_store) == good.model_id
    assert trained_store.get_model_version("digits", "2").tags["rehearsal"] == "failed: its answers differ"
    assert last_run(trained_store, "promote").info.status == "FAILED"


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
def test_rolled_back_weights_do_not_come_back_by_themselves(trained_store: MlflowClient) -> None:
    """Training repeats exactly, so the same run again has the same weights under another id."""
    good, better, linear = trained(trained_store)
    promote(TASK, linear.uri)
    promote(TASK, good.uri)
    rollback(TASK)
    assert good.weights is not None
    trained_store.set_logged_model_tags(better.model_id, {candidates.WEIGHTS_TAG: good.weights})
    assert not promote(TASK, "best")
    assert champion(trained_store) == linear.model_id
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


def made_refused(client: MlflowClient, candidate: Candidate, tag: str, value: str) -> None:
    version = candidates.register(client, TASK, candidate)
    candidates.annotate(client, version, tag, value)


@pytest.mark.usefixtures("quick")
def test_best_does_not_try_what_was_refused_against_this_champion_before(trained_store: MlflowClient) -> None:
    good, better, linear = trained(trained_store)
    promote(TASK, linear.uri)
    made_refused(trained_store, better, candidates.REFUSED_TAG, "1")
    assert promote(TASK, "best")
    assert champion(trained_store) == good.model_id
    assert promote(TASK, "best")  # the champion is another one now
    assert champion(trained_store) == better.model_id


SABOTAGE = {
    "wrong answers": ("return outputs\n", "return outputs[:, ::-1]\n", "its answers differ from the golden ones by"),
    "dies": ("if list in kinds:\n", "if list in kinds:\n            os._exit(1)\n", r"\(ragged\) got no answer"),
    "needs what it does not list": ("import yaml\n", "import tensorflow, yaml\n", "No module named 'tensorflow'"),
}


@pytest.mark.parametrize(
    "sabotage",
    [
        pytest.param(how, id=name, marks=[] if name == "needs what it does not list" else [pytest.mark.slow])
        for name, how in SABOTAGE.items()
    ],
)
def test_a_model_that_fails_its_rehearsal_is_refused_and_the_version_says_why(
    sabotage: tuple[str, str, str], trained_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after, reason = sabotage
    better = sabotaged(trained_store, tmp_path, monkeypatch, before, after)
    with pytest.raises(RehearsalError, match=reason):
        promote(TASK, better.uri)
    assert "champion" not in trained_store.get_registered_model("digits").aliases
    said = trained_store.get_model_version("digits", "1").tags["rehearsal"]
    assert re.search(f"^failed: .*{reason}", said)


def sabotaged(
    client: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> Candidate:
    """The better model, which is promoted with other code."""
    _, better, _ = trained(client)
    path = Path(mlflow.artifacts.download_artifacts(better.uri, dst_path=str(folder / "model")))
    code = (path / "model.py").read_text()
    assert before in code
    (path / "model.py").write_text(code.replace(before, after, 1))
    monkeypatch.setattr(promotion, "fetch", lambda *_, **__: ModelFiles(path, "made up"))
    return better


@pytest.mark.slow
def test_a_model_that_takes_long_is_not_promoted_and_not_taken_for_broken(
    trained_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal_module, "LATENCY_REQUESTS", 20)
    monkeypatch.setattr(rehearsal_module, "PAUSE_SECONDS", 0.0)
    better = sabotaged(trained_store, tmp_path, monkeypatch, "raw = ", "time.sleep(0.2)\n        raw = ")
    assert not promote(dataclasses.replace(TASK, latency_bound_ms=20.0), better.uri)
    said = trained_store.get_model_version("digits", "1").tags["rehearsal"]
    figures = r"it takes \d+\.\d ms .* nothing \d+\.\d ms .*, and at most 20 ms more are allowed"
    assert re.search(f"^undecided: {figures}", said)


@pytest.mark.usefixtures("quick")
def test_what_was_too_slow_is_a_normal_outcome_and_taken_again_by_best(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_slow(*_: object) -> Rehearsal:
        raise TooSlowError("it takes 170.0 ms")

    _, better, _ = trained(trained_store)
    with monkeypatch.context() as patch:
        patch.setattr(promotion, "rehearse", too_slow)
        assert not promote(TASK, "best")
    assert f"({better.uri}) was not promoted: it takes 170.0 ms." in capsys.readouterr().out
    assert last_run(trained_store, "promote").info.status == "FINISHED"
    assert trained_store.get_model_version("digits", "1").tags["rehearsal"] == "undecided: it takes 170.0 ms"
    assert promote(TASK, "best")
    assert champion(trained_store) == better.model_id


@pytest.mark.usefixtures("quick")
def test_best_does_not_try_what_failed_its_rehearsal(trained_store: MlflowClient) -> None:
    good, better, _ = trained(trained_store)
    made_refused(trained_store, better, candidates.REHEARSAL_TAG, f"{candidates.FAILED}its answers differ")
    assert promote(TASK, "best")
    assert champion(trained_store) == good.model_id
    assert promote(TASK, better.uri)  # named, it gets another chance


@pytest.mark.usefixtures("quick")
def test_missing_the_floor_is_a_normal_outcome_however_often(
    trained_store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = dataclasses.replace(TASK, primary=dataclasses.replace(TASK.primary, floor=0.999))
    for _ in range(2):
        assert not promote(strict, "best")
        assert "misses the floor" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_a_champion_from_elsewhere_is_not_replaced_blindly(trained_store: MlflowClient) -> None:
    good, _, _ = trained(trained_store)
    trained_store.create_registered_model("digits")
    trained_store.create_model_version("digits", source="s3://somewhere/else")
    trained_store.set_registered_model_alias("digits", ALIAS, "1")
    with pytest.raises(UserError, match="Version 1 of digits was not made from a logged model"):
        promote(TASK, good.uri)


def test_a_store_that_does_not_answer_makes_no_broken_candidate(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_answer(*_: object, **__: object) -> str:
        raise OSError("connection refused")

    good, _, _ = trained(trained_store)
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", no_answer)
    with pytest.raises(UserError, match="The files of models:/digits/1 cannot be read: connection refused"):
        promote(TASK, good.uri)
    assert candidates.REHEARSAL_TAG not in trained_store.get_model_version("digits", "1").tags
    monkeypatch.setattr(MlflowClient, "list_logged_model_artifacts", lambda *_: [])
    with pytest.raises(RehearsalError, match="the files of models:/digits/1 are gone"):
        promote(TASK, good.uri)
    assert trained_store.get_model_version("digits", "1").tags["rehearsal"].startswith("failed: the files of")


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
def test_a_candidate_has_one_version(trained_store: MlflowClient) -> None:
    good, better, linear = trained(trained_store)
    promote(TASK, better.uri)
    for _ in range(2):
        promote(TASK, linear.uri)
        promote(TASK, good.uri)
    versions = trained_store.search_model_versions("name = 'digits'")
    assert sorted(candidates.model_id_of(version) for version in versions) == sorted(
        candidate.model_id for candidate in (good, better, linear)
    )


@pytest.mark.usefixtures("quick")
def test_a_version_that_somebody_registered_from_elsewhere_does_not_hinder(trained_store: MlflowClient) -> None:
    good, _, _ = trained(trained_store)
    trained_store.create_registered_model("digits")
    trained_store.create_model_version("digits", source="s3://somewhere/else")
    assert promote(TASK, good.uri)
    assert champion(trained_store) == good.model_id


@pytest.mark.usefixtures("quick")
def test_main_trains_evaluates_and_promotes_as_children_of_one_run(store: MlflowClient) -> None:
    lifecycle(TASK, TASK.configure(epochs=6, learning_rate=5e-3))
    experiment = store.get_experiment_by_name("digits")
    assert experiment is not None
    runs = {run.data.tags["step"]: run for run in store.search_runs([experiment.experiment_id])}
    assert set(runs) == {"main", "train", "evaluate", "promote", "ledger"}
    parents = {step: run.data.tags.get("mlflow.parentRunId") for step, run in runs.items()}
    parent = runs["main"].info.run_id
    assert parents == {"main": None, "train": parent, "evaluate": parent, "promote": parent, "ledger": None}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert "The champion changed." in runs["main"].data.tags[NOTE]
    assert store.get_model_version_by_alias("digits", ALIAS)


def test_main_says_where_another_model_is_better(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, better, _ = trained(trained_store)
    monkeypatch.setattr("steps.main.train", lambda *_: SimpleNamespace(model_uri=good.uri))
    monkeypatch.setattr("steps.main.evaluate", lambda *_: good)
    monkeypatch.setattr("steps.main.promote", lambda *_: True)
    lifecycle(TASK, TASK.configure(seed=1))
    beaten = f"The model just trained is behind {better.name} ({better.uri}) on the validation split."
    assert beaten in capsys.readouterr().out
    assert beaten in last_run(trained_store, "main").data.tags[NOTE]


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


def test_a_version_that_is_deleted_meanwhile_is_told_and_moves_nothing(
    trained_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rehearsed(_: MlflowClient, version: ModelVersion, latency_bound_ms: float) -> tuple[Rehearsal, str]:
        trained_store.delete_model_version("digits", version.version)
        return PASSED, "made up"

    monkeypatch.setattr(promotion, "rehearsed", rehearsed)
    with pytest.raises(SystemExit) as left:
        main(promote_step.parser(), promote_step.run, ["--task", "digits"])
    assert left.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "Model Version (name=digits, version=1) not found. It was deleted meanwhile" in line
    assert ledger_module.champion(trained_store, "digits") is None

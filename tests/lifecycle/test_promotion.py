"""Promotion and rollback on real models of digits. Where the rehearsal is not what is tested, it is taken as passed."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from lifecycle import promotion
from lifecycle.model_files import ModelFiles
from lifecycle.promotion import promote
from lifecycle.scoring import evaluate
from lifecycle.training import train
from registry import candidates
from registry import ledger as ledger_module
from registry.candidates import Candidate
from registry.ledger import ALIAS
from serving import rehearsal as rehearsal_module
from serving.rehearsal import Rehearsal, RehearsalError, TooSlowError
from steps import promote as promote_step
from steps.cli import main
from tasks.contract import UserError
from tests.conftest import PASSED
from tests.lifecycle.models import NOTE, TASK, champion, last_run, ledger, trained


@pytest.mark.slow
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
    "wrong answers": ("return output\n", "return output[:, ::-1]\n", "its answers differ from the golden ones by"),
    "dies": (
        "if list in (kinds := _kinds(values)):\n",
        "if list in (kinds := _kinds(values)):\n            __import__('os')._exit(1)\n",
        r"\(ragged\) got no answer",
    ),
    "needs what it does not list": ("import yaml\n", "import tensorflow, yaml\n", "No module named 'tensorflow'"),
}


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", SABOTAGE.values(), ids=SABOTAGE)
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
    file = next(file for file in sorted(path.glob("code/*/*.py")) if before in file.read_text())
    file.write_text(file.read_text().replace(before, after, 1))
    monkeypatch.setattr(promotion, "fetch", lambda *_, **__: ModelFiles(path, "made up"))
    return better


@pytest.mark.slow
def test_a_model_that_takes_long_is_not_promoted_and_not_taken_for_broken(
    trained_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal_module, "LATENCY_REQUESTS", 20)
    monkeypatch.setattr(rehearsal_module, "PAUSE_SECONDS", 0.0)
    better = sabotaged(
        trained_store, tmp_path, monkeypatch, "sent = b", "__import__('time').sleep(0.2)\n            sent = b"
    )
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

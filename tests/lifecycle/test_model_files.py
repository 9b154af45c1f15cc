"""A model's files are those that were evaluated: whoever uses them checks that, and says which one is not."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lifecycle import building, model_files, promotion
from lifecycle.errors import StepError
from lifecycle.model_files import MANIFEST_PARAM, fetch
from lifecycle.promotion import promote
from lifecycle.releases import release
from lifecycle.rollback import rollback
from lifecycle.scoring import evaluate
from registry import candidates
from registry.candidates import Candidate, models_of
from registry.ledger import ALIAS, Ledger
from serving.gateway import loading
from serving.gateway.champion import Champion
from serving.gateway.loading import Loader
from serving.manifest import digest_of
from serving.rehearsal import RehearsalError
from tasks.contract import UserError, get_task
from tests.conftest import own_files

TASK = get_task("digits")
WRONG = r"artifacts/model\.onnx has changed \(SHA-256 [0-9a-f]{12}…, expected [0-9a-f]{12}…\)"


def exchange(files: Path, other: Candidate) -> None:
    """Another model that answers its own golden requests, in place of this one."""
    source = Path(mlflow.artifacts.download_artifacts(other.uri))
    for name in ("model.onnx", "golden.json"):
        (files / "artifacts" / name).write_bytes((source / "artifacts" / name).read_bytes())


def kept(client: MlflowClient, candidate: Candidate) -> dict[str, str]:
    manifest: dict[str, str] = json.loads(client.get_logged_model(candidate.model_id).params[MANIFEST_PARAM])
    return manifest


def test_train_keeps_the_digest_of_every_file_where_nobody_can_change_it(
    trained_store: MlflowClient, tmp_path: Path
) -> None:
    candidate = models_of(trained_store, TASK)[0]
    manifest = kept(trained_store, candidate)
    assert {"MLmodel", "model.py", "requirements.txt", "artifacts/model.onnx", "artifacts/golden.json"} < set(manifest)
    assert any(re.fullmatch(r"code/served_[0-9a-f]{12}/session\.py", name) for name in manifest)
    with pytest.raises(MlflowException):
        trained_store.log_model_params(candidate.model_id, {MANIFEST_PARAM: "{}"})
    assert kept(trained_store, candidate) == manifest
    (tmp_path / "copy").mkdir()
    assert fetch(trained_store, candidate.model_id, str(tmp_path / "copy")).digest == digest_of(manifest)


@pytest.mark.parametrize("name", ["MLmodel", "model.py", "requirements.txt", "artifacts/model.onnx"])
def test_no_file_can_be_exchanged_removed_or_added(trained_store: MlflowClient, tmp_path: Path, name: str) -> None:
    candidate = models_of(trained_store, TASK)[0]
    file = own_files(trained_store, candidate, tmp_path) / name
    before = file.read_bytes()

    def complaint(folder: str) -> str:
        (tmp_path / folder).mkdir()
        with pytest.raises(RehearsalError) as error:
            fetch(trained_store, candidate.model_id, str(tmp_path / folder))
        return str(error.value)

    start, advice = f"{candidate.uri} is not what was logged: {name}", "Train again, or restore the file"
    file.write_bytes(before + b"\n")
    assert complaint("changed").startswith(f"{start} has changed (SHA-256 ")
    file.unlink()
    if name != "MLmodel":  # without it MLflow finds no model at all
        assert complaint("missing") == f"{start} is missing. {advice}"
    file.write_bytes(before)
    (file.parent / "more.py").touch()
    assert complaint("added").endswith(f"more.py was added. {advice}")


def test_bytecode_that_was_left_in_the_store_is_neither_held_against_a_model_nor_run(
    trained_store: MlflowClient, tmp_path: Path
) -> None:
    candidate = models_of(trained_store, TASK)[0]
    files = own_files(trained_store, candidate, tmp_path)
    (files / "__pycache__").mkdir()
    (files / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"whatever")
    (tmp_path / "copy").mkdir()
    fetched = fetch(trained_store, candidate.model_id, str(tmp_path / "copy"))
    assert not list(fetched.path.rglob("*.pyc"))


def test_a_model_by_earlier_code_is_evaluated_with_a_warning_and_checked_from_then_on(
    trained_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(model_files, "MANIFEST_PARAM", "a parameter that it does not have")
    candidate = models_of(trained_store, TASK)[0]
    files = own_files(trained_store, candidate, tmp_path)
    evaluate(TASK, candidate.uri)
    warnings = [record.getMessage() for record in caplog.records if record.name == "lifecycle.model_files"]
    assert warnings == [
        f"{candidate.uri} was logged without digests of its files, so nobody can tell whether they have changed."
    ]
    exchange(files, models_of(trained_store, TASK)[-1])
    with pytest.raises(RehearsalError, match=f"{candidate.uri} is not what was logged: artifacts/golden.json"):
        evaluate(TASK, candidate.uri)


def test_files_that_are_gone_are_not_taken_for_a_store_that_does_not_answer(
    trained_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_answer(uri: str, dst_path: str) -> str:
        raise OSError("connection refused")

    candidate = models_of(trained_store, TASK)[0]
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", no_answer)
    with pytest.raises(UserError, match=f"The files of {candidate.uri} cannot be read: connection refused"):
        fetch(trained_store, candidate.model_id, str(tmp_path))
    monkeypatch.setattr(MlflowClient, "list_logged_model_artifacts", lambda *_: [])
    with pytest.raises(RehearsalError, match=f"the files of {candidate.uri} are gone"):
        fetch(trained_store, candidate.model_id, str(tmp_path))


def test_what_was_exchanged_after_training_is_not_evaluated(trained_store: MlflowClient, tmp_path: Path) -> None:
    linear, better, _ = models_of(trained_store, TASK)[-3:]
    own = own_files(trained_store, better, tmp_path) / "artifacts" / "model.onnx"
    own.write_bytes((Path(mlflow.artifacts.download_artifacts(linear.uri)) / "artifacts" / "model.onnx").read_bytes())
    with pytest.raises(RehearsalError, match=WRONG):
        evaluate(TASK, better.uri)


def test_what_was_exchanged_after_evaluation_is_not_promoted(
    trained_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rehearse(*_: object) -> None:
        raise AssertionError("its code must not run")

    monkeypatch.setattr(promotion, "rehearse", rehearse)
    linear, better, _ = models_of(trained_store, TASK)[-3:]
    exchange(own_files(trained_store, better, tmp_path), linear)
    with pytest.raises(RehearsalError, match="models:/digits/1 is not what was logged: artifacts/golden"):
        promote(TASK, "best")
    assert trained_store.get_registered_model("digits").aliases == {}
    said = trained_store.get_model_version("digits", "1").tags[candidates.REHEARSAL_TAG]
    assert said.startswith("failed: models:/digits/1 is not what was logged")


def test_predictions_that_were_exchanged_are_made_anew(
    champion_store: MlflowClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The gate believes them: with those of a better model, a worse one would pass."""
    linear, better, _ = models_of(champion_store, TASK)[-3:]
    own = own_files(champion_store, linear, tmp_path, of_evaluation=True) / candidates.PREDICTIONS_FILE
    theirs = mlflow.artifacts.download_artifacts(
        run_id=better.evaluation_run, artifact_path=candidates.PREDICTIONS_FILE, dst_path=str(tmp_path)
    )
    own.write_bytes(Path(theirs).read_bytes())
    with caplog.at_level(logging.INFO):
        assert not promote(TASK, linear.uri)
    assert f"The evaluation of {linear.uri} is gone, or its file was changed; it is evaluated anew." in caplog.text


def test_what_was_exchanged_after_promotion_is_not_served_by_a_gateway_that_starts(
    champion_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loading, "try_to_load", lambda *_: None)  # it takes seconds, and the files are checked before

    def gateway() -> Champion:
        started = Champion(lambda: "1", lambda version: release(champion_store, TASK, version, Loader()))
        started.refresh()
        while "is being loaded" in started.problem:
            started.refresh()
        return started

    linear, _, good = models_of(champion_store, TASK)[-3:]
    files = own_files(champion_store, good, tmp_path)
    running = gateway()
    assert running.release is not None
    exchange(files, linear)
    running.refresh()
    assert running.release is not None  # it keeps what it serves
    restarted = gateway()
    assert restarted.release is None
    assert restarted.problem == "Version 1 cannot be loaded."
    assert "models:/digits/1 is not what was logged: artifacts/golden.json has changed" in caplog.text


def test_what_was_exchanged_after_promotion_is_not_built(
    champion_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*_: Any) -> None:
        raise AssertionError("nothing must be built")

    monkeypatch.setattr(building, "_check_docker", lambda: None)
    monkeypatch.setattr(building, "_call", call)
    linear, _, good = models_of(champion_store, TASK)[-3:]
    exchange(own_files(champion_store, good, tmp_path), linear)
    for variant in building.VARIANTS:
        with pytest.raises(StepError, match="dlc-digits:1 was not built: models:/digits/1 is not what was logged"):
            building.build(TASK, "champion", variant, "")


def test_rollback_passes_over_what_was_exchanged_and_the_ledger_names_the_files_of_each_move(
    champion_store: MlflowClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    linear, better, good = models_of(champion_store, TASK)[-3:]
    assert promote(TASK, better.uri)
    assert rollback(TASK) == "1"
    experiment = champion_store.get_experiment_by_name("digits")
    assert experiment is not None
    moves = Ledger.open(champion_store, "digits", experiment.experiment_id).moves()
    digests = [digest_of(kept(champion_store, candidate)) for candidate in (good, better, good)]
    assert [move.files for move in moves] == digests
    assert promote(TASK, better.uri)
    exchange(own_files(champion_store, good, tmp_path), linear)
    with pytest.raises(UserError, match="digits has no earlier champion to roll back to"):
        rollback(TASK)
    assert "Version 1 is passed over: models:/digits/1 is not what was logged" in caplog.text
    assert str(champion_store.get_model_version_by_alias("digits", ALIAS).version) == "2"

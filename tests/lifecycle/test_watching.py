"""From traffic to a verdict, and from a verdict to another champion."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from mlflow import MlflowClient

from lifecycle.promotion import promote
from lifecycle.retraining import champions_config, retrain
from lifecycle.rollback import rollback
from lifecycle.traffic import keep_labels, place_of
from lifecycle.training import Trained
from lifecycle.watching import Span, champion_of, profile_of, watch
from monitoring import verdict as verdict_module
from monitoring.making import Asked
from monitoring.profile import Profile
from monitoring.verdict import Level
from registry.candidates import model_id_of, models_of
from steps import cli, label, monitor
from steps import retrain as retrain_step
from tasks.contract import Split, SplitName, UserError, get_task
from tests.conftest import use_store
from tests.gateways import Gateway

DIGITS = get_task("digits")
SOURCE = "models:/digits/1"
HOUR = Span(hours=1, minutes=30)


class Traffic:
    """Writes what a version would have recorded."""

    def __init__(self, client: MlflowClient, folder: Path) -> None:
        self.profile: Profile = profile_of(client, DIGITS, "1")
        self.folder = folder
        version = client.get_model_version("digits", "1")
        location = client.get_logged_model(model_id_of(version)).artifact_location
        self._asked = Asked(DIGITS, Path(location.removeprefix("file://")) / "artifacts" / "model.onnx")
        folder.mkdir()

    def answer(self, inputs: np.ndarray, source: str = SOURCE) -> None:
        """Items that are answered now, one a request."""
        window = self._asked.answers(inputs).window(self.profile.hidden)
        now = time.time()
        same = {"source": source}
        rows = {
            "id": [f"r{place}" for place in range(len(inputs))],
            "time": [now] * len(inputs),
            "seconds": [0.001] * len(inputs),
            "output": "",
            "label": window.predicted[""].tolist(),
            "confidence": window.confidences[""].tolist(),
        }
        features = {name: values.tolist() for name, values in window.features.items()}
        lines = [
            {"type": "prediction"} | same | rows,
            {"type": "features"} | same | {"time": [now, now], "features": features},
        ]
        hour = self.folder / time.strftime("%Y-%m-%dT%H", time.gmtime(now))
        hour.mkdir(exist_ok=True)
        with (hour / "0.jsonl").open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def traffic(champion_store: MlflowClient, tmp_path: Path) -> Traffic:
    return Traffic(champion_store, tmp_path / "traffic")


def test_what_is_as_it_was_is_fine(traffic: Traffic, champion_store: MlflowClient) -> None:
    traffic.answer(DIGITS.load("train").inputs[:400])
    assert watch(DIGITS, traffic.folder, HOUR).level == Level.FINE
    (run,) = champion_store.search_runs(experiments(champion_store), "tags.step = 'monitor'")
    assert run.data.tags["verdict"] == "fine"
    assert run.data.metrics["items"] == 400
    assert run.data.metrics["estimated_accuracy"] > 0.9
    assert {file.path for file in champion_store.list_artifacts(run.info.run_id)} == {"report.html", "verdict.json"}


@pytest.mark.parametrize("in_store", [False, True])
def test_labels_that_arrive_later_are_joined(traffic: Traffic, tmp_path: Path, in_store: bool) -> None:
    place = traffic.folder.as_uri() if in_store else traffic.folder
    train = DIGITS.load("train")
    traffic.answer(train.inputs[:200])
    wrong = (train.targets[:200] + 1) % 10
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"r{i},{one}\n" for i, one in enumerate(wrong)))
    assert keep_labels(place, tmp_path / "labels.csv") == 200
    verdict = watch(DIGITS, place, HOUR)
    assert verdict.level == Level.RETRAIN
    assert verdict.reasons[0].sentence.startswith("By 200 labels the accuracy is 0.0")
    assert verdict.reasons[-1].sentence.startswith("Of 200 labels in the record, 200 are of items")


def test_drift_is_told_to_a_scheduler(traffic: Traffic, capsys: pytest.CaptureFixture[str]) -> None:
    traffic.answer(16 - DIGITS.load("train").inputs[:400])
    with pytest.raises(SystemExit) as end:
        cli.main(monitor.parser(), monitor.run, ["--task", "digits", "--traffic", str(traffic.folder)])
    assert end.value.code == Level.RETRAIN
    assert capsys.readouterr().out.startswith("digits: retrain\n- Drift: ")


def with_negatives(split: SplitName) -> Split:
    """The data there is now: half of the digits are dark on light."""
    before = DIGITS.load(split)
    inputs = before.inputs.copy()
    inputs[::2] = 16 - inputs[::2]
    return Split(inputs, before.targets)


@pytest.mark.slow
def test_drifted_traffic_ends_with_another_version_that_answers(
    champion_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_figures: None
) -> None:
    """Traffic changes, and one command does the rest: it watches, trains on the data there is now, evaluates,
    rehearses, asks the gate. The gateway goes over to the new version, which is right where the old one was wrong."""
    use_store(monkeypatch, Path(shutil.copy(champion_database, tmp_path / "mlflow.db")))
    monkeypatch.setenv("TRAFFIC_DIR", str(tmp_path / "traffic"))
    monkeypatch.setattr(retrain_step, "get_task", lambda _: dataclasses.replace(DIGITS, load=with_negatives))
    known = DIGITS.load("test")
    negatives = 16 - known.inputs[:300]

    def right(gateway: Gateway) -> float:
        """The share of right answers to negatives."""
        asked = [requests.post(f"{gateway.url}/predict", json={"image": one.tolist()}, timeout=5) for one in negatives]
        return float(np.mean([one.json()["prediction"] for one in asked] == known.targets[:300]))

    with Gateway(tmp_path) as gateway:
        gateway.wait()
        before = right(gateway)
        time.sleep(1.5)  # the last second's record is still to be written
        arguments = ["--task", "digits", "--traffic", str(tmp_path / "traffic")]
        with pytest.raises(SystemExit) as end:
            cli.main(retrain_step.parser(), retrain_step.run, arguments)
        assert end.value.code == 0
        deadline = time.monotonic() + 30
        while requests.get(f"{gateway.url}/readyz", timeout=5).json()["version"] == "1":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert before < 0.5
        assert right(gateway) > 0.9
        told = requests.get(f"{gateway.url}/metrics", timeout=5).text
        assert 'model_verdict{verdict="retrain"} 1.0' in told
        time.sleep(1.5)
        after = watch(DIGITS, tmp_path / "traffic", HOUR)
        assert [reason for reason in after.reasons if "models:/digits/1" in reason.when] == []  # it is history


def test_others_traffic_and_that_of_versions_without_a_profile(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict_module, "HANDOVER_SECONDS", 0.0)  # the champion was set a moment ago
    traffic.answer(DIGITS.load("train").inputs[:50], source="models:/mnist/1")
    (reason,) = watch(DIGITS, traffic.folder, HOUR).reasons
    assert reason.sentence == "Nothing was recorded of models:/digits/1, the champion, but of models:/mnist/1."
    traffic.answer(DIGITS.load("train").inputs[:50], source="models:/digits/77")
    found = watch(DIGITS, traffic.folder, HOUR)
    assert found.level == Level.WATCH
    told = [reason.sentence for reason in found.reasons]
    assert told[0] == "It answers, and is not the champion: put models:/digits/1 in its place."
    assert told[1].startswith("Nothing can be compared: version 77 cannot be had from the registry (")


def test_a_profile_that_cannot_be_read_is_told(traffic: Traffic, champion_store: MlflowClient) -> None:
    version = champion_store.get_model_version("digits", "1")
    location = Path(champion_store.get_logged_model(model_id_of(version)).artifact_location.removeprefix("file://"))
    traffic.answer(DIGITS.load("train").inputs[:50])
    file = location / "artifacts" / "profile.json"
    before = file.read_text()
    try:
        file.write_text("{")
        verdict = watch(DIGITS, traffic.folder, HOUR)
    finally:
        file.write_text(before)
    assert verdict.level == Level.WATCH
    assert verdict.reasons[0].sentence.startswith("Nothing can be compared: version 1 cannot be had from the registry")
    assert "is not what was logged: artifacts/profile.json has changed" in verdict.reasons[0].sentence


def test_the_champion_counts_from_when_it_was_set(champion_store: MlflowClient) -> None:
    found = champion_of(champion_store, DIGITS)
    assert found is not None
    assert found.source == SOURCE
    assert found.since is not None
    assert 0 < time.time() - found.since < 24 * 3600
    champion_store.delete_registered_model_alias("digits", "champion")
    assert champion_of(champion_store, DIGITS) is None


def test_the_configuration_is_the_champions_with_the_next_seed(champion_store: MlflowClient) -> None:
    config = champions_config(champion_store, DIGITS)
    assert (config.model, config.epochs, config.seed) == ("dense", 6, 2)


def test_a_seed_that_was_tried_is_not_tried_again(champion_store: MlflowClient) -> None:
    """It would give the same weights. What was interrupted, or was another configuration, has not tried it."""
    values = {
        f"config.{key}": value for key, value in dataclasses.asdict(champions_config(champion_store, DIGITS)).items()
    }
    elsewhere = champion_store.create_experiment("elsewhere")

    def ran(seed: int, status: str, **others: object) -> None:
        run = champion_store.create_run(elsewhere, tags={"step": "train", "task": "digits"})
        for key, value in (
            values | {"config.seed": seed} | {f"config.{key}": one for key, one in others.items()}
        ).items():
            champion_store.log_param(run.info.run_id, key, value)
        champion_store.set_terminated(run.info.run_id, status)

    ran(2, "FINISHED", epochs=7)
    ran(2, "KILLED")
    ran(3, "FINISHED")
    assert champions_config(champion_store, DIGITS).seed == 2
    ran(2, "FINISHED")
    assert champions_config(champion_store, DIGITS).seed == 4


def test_rolled_back_weights_do_not_come_back_by_another_training(
    champion_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training repeats exactly: one that ends with weights that were rolled back is not offered to the gate."""
    better = models_of(champion_store, DIGITS)[-2]
    assert promote(DIGITS, better.uri)
    rollback(DIGITS)
    monkeypatch.setattr("lifecycle.retraining.train", lambda *_: Trained(better.run_id, better.uri))
    assert not retrain(DIGITS)
    assert "was not promoted. Left out, because rolled back: version 2 has the same weights." in capsys.readouterr().out
    assert promote(DIGITS, better.uri)  # somebody names them


def test_without_a_champion_there_is_nothing_to_train_anew(store: MlflowClient) -> None:
    with pytest.raises(UserError, match=r"digits has no champion to train anew\. Make one first"):
        retrain(DIGITS)


@pytest.mark.parametrize(
    ("span", "message"),
    [
        (Span(24, 0), "minutes must be from 1 to 5,270,400, received 0."),
        (Span(24, float("nan")), "minutes must be from 1 to 5,270,400, received nan."),
        (Span(24, float("inf")), "minutes must be from 1 to 5,270,400, received inf."),
        (Span(0, 60), "hours must be above 0 and at most 87,840, received 0."),
        (Span(1e308, 60), "hours must be above 0 and at most 87,840, received 1e+308."),
        (Span(float("inf"), 60), "hours must be above 0 and at most 87,840, received inf."),
        (
            Span(24, 1),  # whoever gave the minutes alone
            "24 hours make 1,440 windows of 1 minute; at most 1,000 are looked at: give fewer hours, at most 16.6, or "
            "longer windows.",
        ),
        (Span(1000.5, 60), "1,000.5 hours make 1,001 windows of 60 minutes; at most 1,000 are looked at: give fewer"),
    ],
)
def test_no_such_span(span: Span, message: str) -> None:
    with pytest.raises(UserError) as error:
        span.windows(time.time())
    assert message in str(error.value)


def test_windows_begin_at_whole_ones_and_reach_until_now() -> None:
    windows = Span(hours=2, minutes=60).windows(now=10 * 3600 + 60.0)
    assert windows == [(8 * 3600, 9 * 3600), (9 * 3600, 10 * 3600), (10 * 3600, 11 * 3600)]


def test_no_record_is_told(tmp_path: Path, store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"There is no folder .*nowhere\. Serve with TRAFFIC_DIR=<folder>"):
        watch(DIGITS, tmp_path / "nowhere", HOUR)
    with pytest.raises(UserError, match="Expected the folder of the record"):
        place_of("")
    monkeypatch.setenv("TRAFFIC_DIR", str(tmp_path))
    assert place_of("") == tmp_path


def test_no_labels_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--labels", str(tmp_path / "none.csv"), "--traffic", str(tmp_path)]
    with pytest.raises(SystemExit) as end:
        cli.main(label.parser(), label.run, arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/none.csv cannot be read as CSV: ")


def experiments(client: MlflowClient) -> list[str]:
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    return [experiment.experiment_id]

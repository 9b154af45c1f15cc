"""The record of traffic in a store: the steps take from it what they need, and add labels to it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from lifecycle import traffic
from lifecycle.traffic import at_hand, keep_labels, place_of
from monitoring.labels import read_labels
from monitoring.record import read
from monitoring.verdict import Level
from served.record import Recorder
from served.record_files import Settings
from served.record_store import repository_of
from serving.server import free_port
from steps import cli, label, monitor
from tasks.contract import UserError
from tests.served.recording import SHARES, SOURCE, asked

LINE = (
    '{{"type": "prediction", "source": "models:/digits/1", "id": ["{name}"], "time": [{time}], "seconds": [0.1], '
    '"label": [3], "confidence": [0.9]}}\n'
)


def recorded(folder: Path, hour: str, name: str, when: float) -> None:
    """Has the record say that there was a request."""
    (folder / hour).mkdir(parents=True, exist_ok=True)
    (folder / hour / f"{name}.jsonl").write_text(LINE.format(name=name, time=when))


def test_only_the_hours_that_are_asked_for_are_fetched_and_all_labels(tmp_path: Path) -> None:
    """1795701600 is 2026-11-26T14:00 UTC."""
    kept = tmp_path / "kept"
    for hour, name, when in (("12", "old", 1795697000.0), ("13", "before", 1795701599.0), ("14", "now", 1795701601.0)):
        recorded(kept, f"2026-11-26T{hour}", name, when)
    (kept / "notes").mkdir()
    (kept / "notes" / "a.txt").write_text("not of the record")
    (tmp_path / "labels.csv").write_text("id,label\nnow,3\nold,4\n")
    assert keep_labels(kept.as_uri(), tmp_path / "labels.csv") == 2
    with at_hand(kept.as_uri(), 1795701600.0) as folder:
        assert folder != kept
        assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["2026-11-26T13", "2026-11-26T14"]
        assert read(folder, 1795701600.0).rows["id"].tolist() == ["now"]
        assert read_labels(folder) == {"now": "3", "old": "4"}
    assert not folder.exists()


def test_a_folder_is_read_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with at_hand(tmp_path, 0.0) as folder:
        assert folder == tmp_path
    monkeypatch.setenv("TRAFFIC_DIR", "s3://bucket/traffic")
    assert place_of("") == "s3://bucket/traffic"
    assert place_of("traffic") == Path("traffic")


class Refusing:
    """A store whose client has an error for everything."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def list_artifacts(self) -> list[Any]:
        raise self._error

    def log_artifact(self, file: str) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ConnectionError("no way to https://me:secret@host/a\n: Connection refused"),
            "no way to https://host/a : Connection refused. Look whether the server runs and can be reached",
        ),
        (ValueError("AccessDenied"), "AccessDenied. Set the credentials of the artifact store"),
        (KeyError(), "KeyError. See whether the store answers, and try again."),
    ],
)
def test_what_a_store_refuses_is_told_in_a_line(
    error: Exception, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(traffic, "repository_of", lambda address: Refusing(error))
    (tmp_path / "labels.csv").write_text("id,label\nr,3\n")
    address = "https://me:secret@host/traffic"
    with pytest.raises(UserError) as told, at_hand(address, 0.0):
        pass
    assert str(told.value).startswith(f"The record at https://host/traffic cannot be used: {words}")
    with pytest.raises(SystemExit) as end:
        cli.main(label.parser(), label.run, ["--labels", str(tmp_path / "labels.csv"), "--traffic", address])
    assert end.value.code == 2
    printed = capsys.readouterr().err
    assert printed == f"error: {told.value}\n"
    assert "secret" not in printed


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("xyz://me:secret@host", "The record of traffic is at an address, and must be one of abfss, b2, dbfs, "),
        (
            "s3://bucket",
            "The record of traffic is at an address, and for s3: the Python package boto3 is needed, which ",
        ),
        ("mlflow-artifacts:/traffic", "The record at mlflow-artifacts:/traffic cannot be used: "),
    ],
)
def test_a_store_that_cannot_be_used_from_here_is_told(
    address: str, words: str, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UserError) as told, at_hand(address, 0.0):
        pass
    assert str(told.value).startswith(words)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_an_address_without_a_record_is_told(tmp_path: Path) -> None:
    address = (tmp_path / "nowhere").as_uri()
    with pytest.raises(UserError) as told, at_hand(address, 0.0):
        pass
    assert str(told.value) == (
        f"There is nothing at {address}. Serve with TRAFFIC_DIR=<address>, and name it with traffic=<address>."
    )


def test_a_tracking_server_that_does_not_answer_is_told_at_once(monkeypatch: pytest.MonkeyPatch, store: Any) -> None:
    import mlflow

    uri = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    with pytest.raises(UserError, match="does not answer"), at_hand("mlflow-artifacts:/traffic", 0.0):
        pass


@pytest.mark.slow
def test_from_a_server_to_a_verdict_through_a_tracking_server(
    tracking_server: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = "mlflow-artifacts:/team/traffic"
    spool = tmp_path / "spool" / "0"
    recorder = Recorder(Settings(spool, 10**9, 0.0, address), SOURCE, {"": [str(digit) for digit in range(10)]}, None)
    for number in range(40):
        recorder.begin(f"r{number}")
        asked(recorder, shares=np.pad(SHARES[:1], ((0, 0), (0, 8))))
    recorder.close()
    assert list(spool.glob("*/*")) == []
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"r{number},0\n" for number in range(40)))
    arguments = ["--task", "digits", "--traffic", address]
    with pytest.raises(SystemExit) as end:
        cli.main(label.parser(), label.run, [*arguments, "--labels", str(tmp_path / "labels.csv")])
    assert end.value.code == 0
    with pytest.raises(SystemExit) as end:
        cli.main(monitor.parser(), monitor.run, [*arguments, "--hours", "1"])
    assert end.value.code == Level.WATCH  # the registry of this server has no such version
    printed = capsys.readouterr().out
    assert printed.startswith("Kept 40 labels.\n")
    assert "\ndigits: watch\n- Nothing can be compared: version 3 cannot be had from the registry" in printed
    assert "Of 40 labels in the record, 40 are of items that were answered in this time." in printed
    experiment = tracking_server.get_experiment_by_name("digits")
    assert experiment is not None
    (run,) = tracking_server.search_runs([experiment.experiment_id], "tags.step = 'monitor'")
    assert run.data.metrics["items"] == 40
    with at_hand(address, time.time() - 3600) as folder:
        assert len(read_labels(folder)) == 40
    assert "verdict-digits.json" in [file.path for file in repository_of(address).list_artifacts()]

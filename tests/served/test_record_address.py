"""What TRAFFIC_DIR may name besides a folder, and what is told of it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from served.record_files import Settings, settings
from served.record_store import is_address, plain, problem_of, spool_of


@pytest.mark.parametrize(
    ("place", "is_one"),
    [
        ("s3://bucket/traffic", True),
        ("mlflow-artifacts:/traffic", True),
        ("file:///srv/traffic", True),
        ("traffic", False),
        ("/srv/traffic", False),
        ("C:/traffic", False),
        ("", False),
    ],
)
def test_addresses_are_told_from_folders(place: str, is_one: bool) -> None:
    assert is_address(place) == is_one


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/traffic", "s3://bucket/traffic"),
        ("https://user:p/a@ss@host:5000/x?sig=abc", "https://host:5000/x"),
        ("API request to http://me:pw@host/a failed:\n 'http://me:pw@host/a?token=1'", None),
        ("mlflow-artifacts:/traffic", "mlflow-artifacts:/traffic"),
    ],
)
def test_secrets_are_left_out(text: str, shown: str | None) -> None:
    assert plain(text) == (shown or "API request to http://host/a failed: 'http://host/a'")


def test_a_store_is_recorded_for_where_it_can_be_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TRAFFIC_DIR", "mlflow-artifacts:/traffic")
    monkeypatch.setenv("TRAFFIC_BYTES", "2000000")
    spool = spool_of("mlflow-artifacts:/traffic")
    assert settings() == Settings(spool, 2_000_000, 0.0, "mlflow-artifacts:/traffic")
    assert caplog.text == ""


def absent(module: str) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(
    ("address", "without", "message"),
    [
        (
            "s3://me:secret@bucket",
            absent("boto3"),
            "for s3: the Python package boto3 is needed, which is not installed",
        ),
        ("gs://bucket", absent("google.cloud"), "for gs: the Python package google.cloud.storage is needed, which is"),
        ("xyz://me:secret@host", absent("boto3"), "must be one of abfss, b2, dbfs, "),
        (
            "s3://me:secret@bucket",
            absent("mlflow.store.artifact.artifact_repository_registry"),
            "for s3: mlflow is needed, which is not installed here; name a folder",
        ),
    ],
)
def test_a_store_that_cannot_be_used_is_told_in_a_line(
    address: str,
    without: Callable[[pytest.MonkeyPatch], None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    without(monkeypatch)
    monkeypatch.setenv("TRAFFIC_DIR", address)
    assert settings() is None
    (told,) = [one.getMessage() for one in caplog.records]
    assert told.startswith(f"No traffic is recorded: TRAFFIC_DIR is an address, and {message}")
    assert "secret" not in told
    assert "\n" not in told
    assert problem_of(address) in told


def test_a_spool_outlives_its_process_and_is_one_for_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps have temporary files in a folder that ends with them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "own"))
    one, other = spool_of("s3://bucket/a"), spool_of("s3://user:secret@bucket/a")
    assert one != other
    assert one.parent.parent == tmp_path
    assert "secret" not in str(other)
    assert tempfile.tempdir == str(tmp_path / "own")

"""What happens to disks, rights, networks and stores is told in one line; a fault of ours is not mistaken for it."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest
import requests
import sqlalchemy
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos import databricks_pb2 as codes

from lifecycle.outside import explained


def of_sqlite(script: str, path: Path, mode: str = "rwc") -> sqlite3.Error:
    """What SQLite itself raises."""
    connection = sqlite3.connect(f"file:{path}?mode={mode}", uri=True, timeout=0)
    try:
        connection.executescript(script)
    except sqlite3.Error as error:
        return error
    finally:
        connection.close()
    raise AssertionError(script)


def by_mlflow(cause: Exception) -> Exception:
    """The error as MLflow passes it on."""
    try:
        try:
            raise sqlalchemy.exc.OperationalError("INSERT INTO runs", {}, cause) from cause
        except sqlalchemy.exc.OperationalError as error:
            raise MlflowException(str(error), codes.TEMPORARILY_UNAVAILABLE) from error
    except MlflowException as error:
        return error


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Make room there"),
        (errno.EDQUOT, "Make room there"),
        (errno.EFBIG, "Make room there"),
        (errno.EACCES, "Give your user the right to write there"),
        (errno.EPERM, "Give your user the right to write there"),
        (errno.EROFS, "Give your user the right to write there"),
        (errno.EIO, "Look after that disk"),
        (errno.EMFILE, "Raise the limit"),
        (errno.ECONNREFUSED, "Look whether the server runs"),
        (errno.ETIMEDOUT, "Look whether the server runs"),
    ],
)
def test_the_operating_system(number: int, advice: str) -> None:
    line = explained(OSError(number, os.strerror(number), "/srv/mlruns/model.onnx"))
    assert line is not None
    assert line.startswith(f"[Errno {number}] {os.strerror(number)}: '/srv/mlruns/model.onnx'. {advice}")


def test_a_full_database(tmp_path: Path) -> None:
    script = "PRAGMA max_page_count = 2; CREATE TABLE a (b); INSERT INTO a VALUES (zeroblob(100000))"
    line = explained(by_mlflow(of_sqlite(script, tmp_path / "m.db")))
    assert line is not None
    assert "reports: database or disk is full. Make room there" in line
    assert "INSERT" not in line


def test_a_database_that_may_only_be_read(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "m.db").close()
    line = explained(by_mlflow(of_sqlite("CREATE TABLE a (b)", tmp_path / "m.db", mode="ro")))
    assert line is not None
    assert "reports: attempt to write a readonly database. Give your user the right to write there" in line


def test_a_locked_database(tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "m.db")
    writer.execute("BEGIN EXCLUSIVE")
    line = explained(by_mlflow(of_sqlite("CREATE TABLE a (b)", tmp_path / "m.db")))
    writer.close()
    assert line is not None
    assert "reports: database is locked. Another process is writing to it" in line


LOG_IN = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
REFUSED = sqlalchemy.exc.OperationalError("", {}, Exception('FATAL:  password authentication failed for user "me"'))


def answered(code: str, message: str) -> RestException:
    """What MLflow makes of a tracking server's answer."""
    return RestException({"error_code": code, "message": message})  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (MlflowException("… error code 401 != 200. Response body: 'Log in'", codes.UNAUTHENTICATED), LOG_IN),
        (MlflowException("… error code 403 != 200: 'Permission denied'", codes.PERMISSION_DENIED), LOG_IN),
        (answered("RESOURCE_DOES_NOT_EXIST", "none"), "It was deleted meanwhile"),
        (answered("INTERNAL_ERROR", "database or disk is full"), "Make room there"),
        (MlflowException("API request failed with exception Max retries exceeded"), "Look whether the server runs"),
        (requests.ConnectionError("Connection refused"), "Look whether the server runs"),
        (RuntimeError("Unable to write: No space left on device"), "Make room there"),
        (ModuleNotFoundError("No module named 'boto3'", name="boto3"), "The store needs a package that is not"),
        (REFUSED, "Look at the user, the password and the name of the database"),
    ],
)
def test_stores_and_libraries(error: Exception, advice: str) -> None:
    line = explained(error)
    assert line is not None
    assert f". {advice}" in line


def chained() -> Exception:
    try:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            raise ZeroDivisionError("a fault of ours, while another was being dealt with")  # noqa: B904
    except ZeroDivisionError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("division by zero"),
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "artifacts/model.onnx"),
        ModuleNotFoundError("No module named 'steps.nope'", name="steps.nope"),
        MlflowException("Invalid parameter", codes.INVALID_PARAMETER_VALUE),
        by_mlflow(sqlite3.OperationalError("no such column: runs.nope")),
        TimeoutError("Command 'x' timed out after 60 seconds"),
        chained(),
    ],
)
def test_faults_of_ours(error: Exception) -> None:
    assert explained(error) is None

"""What goes wrong outside this project, told in one line: disks, rights, networks, and the store behind them.

These are no mistakes at the command line and no faults of the code. Libraries wrap them in exceptions of many types, or
pass them on as text only, so they are known by the words of the operating system, of SQLite and of the store's clients.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import mlflow
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from lifecycle import store
from tasks.contract import one_line

MOST_CHARACTERS = 300  # of what a server answered, which may be a page
AGAIN = "and run the same command again"
# Each with what to do; the first that fits is told.
ADVICE = {
    r"no space left|not enough space|quota exceeded|file too large|disk (is )?full": "Make room there, or set TMPDIR "
    f"to another disk if temporary files filled it, {AGAIN}.",
    r"authentication failed|access denied for user|fatal: +(role|database) ": "Look at the user, the password and the "
    "name of the database in MLFLOW_TRACKING_URI.",
    r"database (table )?is locked": "Another process is writing to it: wait for that to end, "
    f"{AGAIN}. Where many write at once, let a server do it: mlflow server.",
    r"permission denied|operation not permitted|access is denied|read-?only (file system|database)|"
    r"unable to open database file": f"Give your user the right to write there, {AGAIN}.",
    r"not a database|database disk image is malformed": "Put a backup of the file in its place.",
    r"disk i/o error|input/output error|stale file handle": "Look after that disk; it may be full or failing.",
    r"too many open files": f"Raise the limit, e.g. ulimit -n 4096, {AGAIN}.",
    r"unable to locate credentials|accessdenied|invalidaccesskeyid|signaturedoesnotmatch": "Set the credentials of the "
    "artifact store, e.g. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    r"connection refused|connection reset|connection aborted|network is unreachable|no route to host|"
    r"name or service not known|name resolution|failed to resolve|max retries exceeded|"
    r"(read|connection|operation) timed out|^timed out$|timeout expired|could not connect|closed the connection|"
    r"connection (is bad|failed|to server .* failed)": "Look whether the server runs and can be reached "
    f"from here, {AGAIN}.",
}
LOG_IN = (
    "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, of a user who may do this."
)
REFUSED = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED")
GONE = f"It was deleted meanwhile: look at what is there, {AGAIN}."
# What pip installs for a module that a store's URI asks for.
DRIVERS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
    "pyodbc": "pyodbc",
    "boto3": "boto3",
    "google": "google-cloud-storage",
    "azure": "azure-storage-blob",
}


def explained(error: BaseException) -> str | None:
    """What went wrong outside and what to do, in one line; None where the fault is ours."""
    if (found := reason_and_advice(error)) is None:
        return None
    reason, advice = found
    if any(isinstance(one, (MlflowException, SQLAlchemyError, sqlite3.Error)) for one in _causes(error)):
        reason = f"The tracking store {store.shown(mlflow.get_tracking_uri())} reports: {reason}"
    return f"{reason}. {advice}"


def reason_and_advice(error: BaseException) -> tuple[str, str] | None:
    """What went wrong outside, without a full stop, and what to do about it; None where the fault is ours."""
    for one in reversed(list(_causes(error))):
        # SQLAlchemy adds the statement and a link.
        reason = one_line(str(one).partition("\n[SQL:")[0])[:MOST_CHARACTERS].rstrip(".")
        if advice := _advice(one, reason):
            return reason, advice
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, and that from, the first cause last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _advice(error: BaseException, reason: str) -> str | None:
    if isinstance(error, ImportError) and (package := DRIVERS.get((error.name or "").partition(".")[0])):
        return f"The store needs a package that is not installed: pip install '{package}'"
    code = error.error_code if isinstance(error, MlflowException) else ""
    if code in REFUSED:
        return LOG_IN
    if advice := store.schema_advice(mlflow.get_tracking_uri(), reason):
        return advice
    known = (advice for words, advice in ADVICE.items() if re.search(words, reason, re.IGNORECASE))
    return next(known, GONE if code == "RESOURCE_DOES_NOT_EXIST" else None)

"""The tracking store as MLflow's URI names it: where its files lie, how it is asked, and how it is told to people."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shlex
import unicodedata
from pathlib import Path

import mlflow
import sqlalchemy
from mlflow.store.db.db_types import DATABASE_ENGINES, SQLITE
from mlflow.store.db.utils import create_sqlalchemy_engine
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

SQLITE_SECONDS = 30  # to wait for others who write to the file
MOST_BYTES = 200  # of a folder's name; file systems take 255
MOST_CHARACTERS = 60  # of an experiment's name in the name of a folder that has to have another
MIGRATIONS = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
# What MLflow or Alembic says of a database with another schema, and which it has.
SCHEMA = re.compile(r"out-of-date database schema \(found version (\w+)|Can't locate revision identified by '(\w+)'")


def usable_uri(uri: str) -> str:
    """The same store under a URI that MLflow does not misread.

    MLflow percent-encodes its default URI and SQLAlchemy decodes it, but in between MLflow creates the folder of a
    `sqlite:///` URI as it is written: an empty `My%20Projects` beside `My Projects`. Under its longer name,
    `sqlite+pysqlite:///`, it leaves the URI to SQLAlchemy. The empty folder goes, where `mlflow run` has made it.
    """
    file, written = database_file(uri), Path(uri.removeprefix("sqlite:///").partition("?")[0])
    if file is None or not uri.startswith("sqlite:///") or file == written:
        return uri
    with contextlib.suppress(OSError):  # it is not there, or something is in it
        for folder in written.parents:
            folder.rmdir()
    return uri.replace("sqlite:", "sqlite+pysqlite:", 1)


def ask(uri: str) -> None:
    """Looks into the database that the URI names, if it names one: MLflow would try again for minutes.

    Raises:
        Exception: Whatever the driver has to say; it may be missing.
    """
    url = _parsed(uri)
    if url is None or url.get_backend_name() not in DATABASE_ENGINES:
        return
    if (file := database_file(uri)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)  # as MLflow does
    if url.get_backend_name() == SQLITE and "timeout" not in url.query:
        url = url.update_query_dict({"timeout": str(SQLITE_SECONDS)})
    engine = create_sqlalchemy_engine(url.render_as_string(hide_password=False))  # type: ignore[no-untyped-call]
    try:
        sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()


def database_file(uri: str) -> Path | None:
    """The file of an embedded store; None where the store is another one, or in memory."""
    url = _parsed(uri)
    if url is None or url.get_backend_name() != SQLITE or url.database in (None, "", ":memory:"):
        return None
    return None if "uri" in url.query else Path(str(url.database))  # SQLite takes a URI of its own apart itself


def artifact_location(uri: str, experiment: str) -> str | None:
    """Where the experiment's artifacts go: beside the database of an embedded store. MLflow's default is the working
    directory, which under `mlflow run <git URL>` is a temporary folder. None for a server, which knows its own place.
    """
    file = database_file(uri)
    return None if file is None else (file.resolve().parent / "mlruns" / folder_name(experiment)).as_uri()


def folder_name(name: str) -> str:
    """The name of one folder for an experiment of any name, e.g. `Shared_team_digits~1f0c5d7a` for
    `/Shared/team/digits`. Two names never share a folder: a `~` is in none that is taken as it is.
    """
    plain = re.fullmatch(r"\w(?:[\w .-]*[\w-])?", name) and unicodedata.is_normalized("NFC", name)
    if plain and len(name.encode()) <= MOST_BYTES:
        return name
    readable = re.sub(r"[^\w-]+", "_", name, flags=re.ASCII).strip("_")[:MOST_CHARACTERS]
    return f"{readable}~{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:12]}"


def shown(uri: str) -> str:
    """The URI without the password that may be in it."""
    url = _parsed(uri)
    return url.render_as_string(hide_password=True) if url and url.password else uri


def schema_advice(uri: str, reason: str) -> str | None:
    """What to do about a database that another version of MLflow has made; None where this is not the reason."""
    if (found := SCHEMA.search(reason)) is None:
        return None
    revision = found[1] or found[2]
    if revision != "None" and not any(MIGRATIONS.glob(f"{revision}_*.py")):
        return f"A newer MLflow than this one ({mlflow.__version__}) has made it: use that one."
    return f"An older MLflow has made it. Copy it as a backup, then run: mlflow db upgrade {shlex.quote(shown(uri))}"


def _parsed(uri: str) -> URL | None:
    """The URI as SQLAlchemy reads it, percent-decoded; None where it cannot."""
    with contextlib.suppress(ArgumentError, ValueError):
        return make_url(uri)
    return None

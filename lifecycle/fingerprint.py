"""What decides a train run: code, configuration, data, library versions. Where all are equal, so is the result, up to
the order in which another number of threads, or another kind of processor, adds numbers."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lifecycle import runs
from lifecycle.libraries import libraries
from lifecycle.used_code import used_code
from registry.candidates import NUMBER_METRIC
from tasks.contract import Config, Split, SplitName, Task

FILE = "code/fingerprint.json"
TAG = "fingerprint"  # of a run: the whole
CONFIG_TAG = "fingerprint.config"  # of a run: the configuration alone
LEARNT_FROM: tuple[SplitName, ...] = ("train", "validation")


@dataclass(frozen=True)
class Fingerprint:
    """All that decides a train run.

    Attributes:
        code: SHA-256 by file.
        config: The configuration.
        data: Digest by split.
        libraries: Version by name.
    """

    code: Mapping[str, str]
    config: Mapping[str, Any]
    data: Mapping[str, str]
    libraries: Mapping[str, str]

    @property
    def digest(self) -> str:
        return _digest(dataclasses.asdict(self))

    @property
    def config_digest(self) -> str:
        return _digest(self.config)

    def changes(self, before: Fingerprint) -> list[str]:
        """What is not as it was, e.g. "code tasks/mnist/model.py" or "library keras 3.15.0 → 3.15.1"."""
        return [
            *(f"code {name}" for name in _differing(self.code, before.code)),
            *(f"configuration {name}" for name in _differing(self.config, before.config)),
            *(f"{name} data" for name in _differing(self.data, before.data)),
            *(
                f"library {name} {before.libraries.get(name, 'none')} → {self.libraries.get(name, 'none')}"
                for name in _differing(self.libraries, before.libraries)
            ),
        ]


def fingerprint(task: Task, config: Config, data: Mapping[str, str], root: Path = runs.ROOT) -> Fingerprint:
    """Of a run that would train `config` now.

    Args:
        task: Whose code is looked at.
        config: What is to be trained.
        data: Digests of the splits `train` and `validation`, whole.
        root: The project's folder.
    """
    # As JSON gives it back: what is compared has been stored.
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    return Fingerprint(_code_digests(task.name, form_modules(task), root), values, dict(data), libraries())


def form_modules(task: Task) -> tuple[str, ...]:
    """The modules of the forms of its items and answers, as `used_code` takes them."""
    return tuple(type(form).__module__ for form in (task.item, task.answer, *task.answer.named.values()))


@functools.cache  # as for the code: a process works with what it has read
def data_digests(load: Callable[[SplitName], Split]) -> dict[str, str]:
    """Of the splits that decide a train run, whole, by name."""
    return {split: load(split).digest for split in LEARNT_FROM}


def log_fingerprint(found: Fingerprint) -> None:
    """Writes it into the active run."""
    mlflow.log_dict(dataclasses.asdict(found), FILE)
    mlflow.set_tags({TAG: found.digest, CONFIG_TAG: found.config_digest})


def equal_run(
    client: MlflowClient, experiment_id: str, wanted: Fingerprint, tags: Mapping[str, str] | None = None
) -> Run | None:
    """The newest finished run in which everything was the same, and that has these tags."""
    return _newest(client, experiment_id, {TAG: wanted.digest} | dict(tags or {}))


def changes_since(
    client: MlflowClient, experiment_id: str, wanted: Fingerprint, tags: Mapping[str, str]
) -> tuple[str, list[str]] | None:
    """The id of the newest finished run of the same configuration, or, where there is none, of the newest with these
    tags, and what is not as it was then. None where there is neither."""
    run = _newest(client, experiment_id, {CONFIG_TAG: wanted.config_digest}) or _newest(client, experiment_id, tags)
    if run is None:
        return None
    try:
        before = Fingerprint(**mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/{FILE}"))
    except (MlflowException, OSError, TypeError):
        return run.info.run_id, ["what cannot be told: its fingerprint cannot be read"]
    changes = wanted.changes(before)
    return (run.info.run_id, changes) if changes else None


def _newest(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> Run | None:
    conditions = [f"tags.`{name}` = {_quoted(value)}" for name, value in tags.items()]
    found = client.search_runs(
        [experiment_id],
        " and ".join([*conditions, f"tags.`{TAG}` != ''", "attributes.status = 'FINISHED'"]),
        order_by=[f"metrics.{NUMBER_METRIC} DESC", "attributes.start_time DESC"],
        max_results=1,
    )
    return found[0] if found else None


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"


@functools.cache  # files that are edited later are not what this process runs
def _code_digests(task: str, forms: tuple[str, ...], root: Path) -> dict[str, str]:
    return {name: _file_digest(root / name) for name in used_code(task, forms, root)}


def _differing(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))


def _file_digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

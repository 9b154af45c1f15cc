"""What decides a train run: code, configuration, data, library versions. Where all are equal, so is the result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from steps import runs
from tasks.contract import Config, Task

FILE = "code/fingerprint.json"
TAG = "fingerprint"  # of a run: the whole
CONFIG_TAG = "fingerprint.config"  # of a run: the configuration alone
# What takes part in training and in making the logged model, besides the task's own folder.
SHARED_CODE = ("tasks/*.py", "steps/train.py", "steps/callbacks.py", "serving/package.py", "serving/model.py")
DECLARATIONS = "studies.py"  # of a task: says what is compared; what of it is trained stands in the configuration


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
    code = {file.relative_to(root).as_posix(): _file_digest(file) for file in sorted(set(_code(task, root)))}
    # As JSON gives it back: what is compared has been stored.
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    return Fingerprint(code, values, dict(data), runs.libraries())


def log_fingerprint(found: Fingerprint) -> None:
    """Writes it into the active run."""
    mlflow.log_dict(dataclasses.asdict(found), FILE)
    mlflow.set_tags({TAG: found.digest, CONFIG_TAG: found.config_digest})


def equal_run(client: MlflowClient, experiment_id: str, wanted: Fingerprint) -> Run | None:
    """The newest finished run in which everything was the same."""
    return _newest(client, experiment_id, f"tags.`{TAG}` = '{wanted.digest}'")


def changes_since(client: MlflowClient, experiment_id: str, wanted: Fingerprint) -> tuple[str, list[str]] | None:
    """The newest finished run of the same configuration, and what has changed since; None where there is none."""
    run = _newest(client, experiment_id, f"tags.`{CONFIG_TAG}` = '{wanted.config_digest}'")
    if run is None:
        return None
    before = json.loads(Path(client.download_artifacts(run.info.run_id, FILE)).read_text())
    return run.info.run_id, wanted.changes(Fingerprint(**before))


def _newest(client: MlflowClient, experiment_id: str, condition: str) -> Run | None:
    found = client.search_runs(
        [experiment_id],
        f"{condition} and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return found[0] if found else None


def _code(task: Task, root: Path) -> Iterator[Path]:
    for pattern in SHARED_CODE:
        yield from root.glob(pattern)
    yield from (file for file in (root / "tasks" / task.name).rglob("*.py") if file.name != DECLARATIONS)


def _differing(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))


def _file_digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

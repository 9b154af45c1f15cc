"""Signs of life: how a later command tells a run whose process was killed from one that is still worked on.

A run names the process that works on it, and its heartbeat changes as long as that process lives. On one machine the
process's lock says at once whether it is alive (`lifecycle.workplace`). Of a process on another machine only the
heartbeat tells, and only to somebody who watches it for long enough by one clock: two machines' clocks need not agree.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from lifecycle.workplace import has_ended, process_id
from registry.candidates import LAUNCHED_TAG

logger = logging.getLogger(__name__)

# Tags of a run.
PROCESS_TAG = "process"  # that works on it
HEARTBEAT_TAG = "heartbeat"
SEARCH_PARAM = "search.run"  # of a run that takes part in a search: the search's run
DEFAULT_EXPERIMENT = "0"
BEAT_SECONDS = 10.0
SILENT_SECONDS = 300.0  # without a beat, after which a process on another machine counts as dead


class Watch:
    """Watches runs that have not ended.

    Args:
        silent_seconds: How long a heartbeat may stay the same.
    """

    def __init__(self, silent_seconds: float = SILENT_SECONDS) -> None:
        self._silent_seconds = silent_seconds
        self._seen: dict[str, tuple[str | None, float]] = {}

    def dead(self, runs: Iterable[Run]) -> list[Run]:
        """Those runs of which it is known by now that nobody works on them any more."""
        return [run for run in runs if self._is_dead(run)]

    def _is_dead(self, run: Run) -> bool:
        ended = has_ended(run.data.tags.get(PROCESS_TAG, ""))
        if ended is not None:
            return ended
        now, beat = time.monotonic(), run.data.tags.get(HEARTBEAT_TAG)
        last, since = self._seen.get(run.info.run_id, (None, now))
        if beat == last and run.info.run_id in self._seen:
            return now - since > self._silent_seconds
        self._seen[run.info.run_id] = beat, now
        return False


@contextlib.contextmanager
def heartbeat(
    client: MlflowClient, run_id: str, also: Callable[[], None] | None = None, seconds: float = BEAT_SECONDS
) -> Iterator[None]:
    """Tells others that this process works on the run.

    Args:
        client: Of the tracking store.
        run_id: Of the run.
        also: Called with every beat after the first.
        seconds: From beat to beat.
    """
    client.set_tag(run_id, PROCESS_TAG, process_id())
    stopped = threading.Event()

    def beat() -> None:
        while True:
            with contextlib.suppress(Exception):  # the store may be out of reach for a while; the next beat may arrive
                client.set_tag(run_id, HEARTBEAT_TAG, f"{time.time():.3f}")
            if stopped.wait(seconds):
                return
            if also:
                with contextlib.suppress(Exception):
                    also()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def end_abandoned(client: MlflowClient, experiment_id: str, watch: Watch) -> None:
    """Ends the runs of an experiment that nobody works on any more, with what belongs to them.

    Runs that no step of this project made are left alone.
    """
    running = _running(experiment_id)
    for run in watch.dead(run for run in running if PROCESS_TAG in run.data.tags):
        _end(client, run, "its process was killed")
    for run in running:
        step = run.data.tags.get("step")
        if step == "ledger":  # nobody works on one: it ends as soon as it is made
            client.set_terminated(run.info.run_id)
        elif step == "search" and not _running(experiment_id, f"params.`{SEARCH_PARAM}` = '{run.info.run_id}'"):
            _end(client, run, "all processes that took part in it were killed")


def _end(client: MlflowClient, run: Run, reason: str) -> None:
    """Ends a run, its children that have no process of their own, the run of its launch, and the model it was about to
    log."""
    run_id = run.info.run_id
    logger.info("%s (run %s) is ended: %s.", run.info.run_name, run_id, reason)
    note = run.data.tags.get(MLFLOW_RUN_NOTE, "")
    client.set_tag(run_id, MLFLOW_RUN_NOTE, f"{note}\n\n**Did not finish:** {reason}".lstrip())
    client.set_terminated(run_id, "FAILED")
    children = _running(run.info.experiment_id, f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'")
    launches = _running(DEFAULT_EXPERIMENT, f"tags.{LAUNCHED_TAG} = '{run_id}'")
    for other in [child for child in children if PROCESS_TAG not in child.data.tags] + launches:
        client.set_terminated(other.info.run_id, "FAILED")
    for model in client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'"):
        if model.status == LoggedModelStatus.PENDING:
            client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)


def _running(experiment_id: str, condition: str = "") -> list[Run]:
    conditions = " and ".join(filter(None, ["attributes.status = 'RUNNING'", condition]))
    found: list[Run] = mlflow.search_runs([experiment_id], conditions, output_format="list")
    return found

"""Hold what was served against the profiles of the versions that served it, and say what follows."""

from __future__ import annotations

import contextlib
import json
import math
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lifecycle import runs
from lifecycle.model_files import fetch
from lifecycle.traffic import Place, at_hand, keep_verdict
from monitoring.gauges import gauges, leave
from monitoring.labels import read_labels
from monitoring.profile import FILE, Profile
from monitoring.record import compact, read
from monitoring.report import html
from monitoring.verdict import Expected, Verdict, corrected, decide
from monitoring.windows import Watched, watched
from registry.candidates import REHEARSAL_TAG, model_id_of
from serving.rehearsal import RehearsalError
from tasks.contract import Task, UserError

LEAST_MINUTES, MOST_WINDOWS = 1, 1_000
VERDICT_TAG = "verdict"


@dataclass(frozen=True)
class Span:
    """What is looked at: so many hours until now, in windows of so many minutes, which begin at whole ones of UTC."""

    hours: float
    minutes: float

    def windows(self, now: float) -> list[tuple[float, float]]:
        """Begin and end of each, in seconds since 1970; the last one has not ended yet.

        Raises:
            UserError: There would be none, or too many.
        """
        if not LEAST_MINUTES <= self.minutes < math.inf:
            raise UserError(f"minutes must be a finite number of at least {LEAST_MINUTES}, received {self.minutes:g}.")
        if not 0 < self.hours < math.inf:
            raise UserError(f"hours must be a finite number above 0, received {self.hours:g}.")
        if (number := math.ceil(self.hours * 60 / self.minutes)) > MOST_WINDOWS:
            most = math.floor(10 * MOST_WINDOWS * self.minutes / 60) / 10
            length = "1 minute" if self.minutes == 1 else f"{self.minutes:,g} minutes"
            raise UserError(
                f"{self.hours:,g} hours make {number:,} windows of {length}; at most {MOST_WINDOWS:,} are looked at: "
                f"give fewer hours, at most {most:,g}, or longer windows."
            )
        size = 60 * self.minutes
        last = now // size
        first = (now - 3600 * self.hours) // size
        return [(place * size, (place + 1) * size) for place in range(int(first), int(last) + 1)]


def watch(task: Task, place: Place, span: Span) -> Verdict:
    """Looks at what a task's versions served, and logs a run with the report.

    Args:
        task: Whose versions.
        place: TRAFFIC_DIR of the servers: a folder, or the address of a store.
        span: Of time.

    Raises:
        UserError: There is no record.
    """
    client = runs.connect()
    note = f"Holds what the versions of **{task.name}** served against what they were validated on."
    begin, _ = span.windows(time.time())[0]
    with at_hand(place, begin) as folder, runs.step_run(client, task, "monitor", f"monitor {task.name}", note):
        compact(folder)
        labels = read_labels(folder)
        profiles: dict[str, Profile | None] = {}
        windows = corrected(list(_windows(client, task, folder, span.windows(time.time()), profiles, labels)))
        known = {source: expected_of(client, task, source, profile) for source, profile in profiles.items()}
        verdict = decide(windows, known)
        _log(task, windows, {source: one for source, one in profiles.items() if one is not None}, verdict, note)
        leave(folder, task.name, list(gauges(windows, verdict, known, time.time())))
        keep_verdict(place, folder, task.name)
    return verdict


def _windows(
    client: MlflowClient,
    task: Task,
    folder: Path,
    spans: Sequence[tuple[float, float]],
    profiles: dict[str, Profile | None],
    labels: Mapping[str, str],
) -> Iterator[Watched]:
    """What each version did in each window in which it did something. Profiles are added as they are needed."""
    for begin, end in spans:
        traffic = read(folder, begin, end)
        for source in sorted(set(traffic.rows["source"])):
            found = re.fullmatch(rf"models:/{re.escape(task.name)}/(\d+)", source)
            if not found:
                continue
            if source not in profiles:
                profiles[source] = profile_of(client, task, found[1])
            yield watched(traffic, source, begin, min(end, time.time()), profiles[source], labels)


def profile_of(client: MlflowClient, task: Task, number: str) -> Profile | None:
    """The profile of a version; None where it has none that this code can read, or is gone."""
    try:
        version = client.get_model_version(task.name, number)
        with tempfile.TemporaryDirectory() as folder:
            files = fetch(client, model_id_of(version), folder)
            file = files.path / "artifacts" / FILE
            return Profile.from_json(file.read_text(encoding="utf-8")) if file.exists() else None
    except (MlflowException, RehearsalError):
        return None


def expected_of(client: MlflowClient, task: Task, source: str, profile: Profile | None) -> Expected:
    """What is known of a version by its profile and by its rehearsal."""
    rehearsed = None
    with contextlib.suppress(MlflowException, ValueError, KeyError):  # it is gone, or its rehearsal failed
        tags = client.get_model_version(task.name, source.rpartition("/")[2]).tags
        rehearsed = float(json.loads(tags[REHEARSAL_TAG])["p50_ms"])
    if profile is None:
        return Expected(bound_ms=task.latency_bound_ms, rehearsed_ms=rehearsed)
    accuracies = {name: one.accuracy for name, one in profile.calibrations.items()}
    return Expected(accuracies, profile.errors, task.latency_bound_ms, rehearsed)


def _log(task: Task, windows: Sequence[Watched], profiles: Mapping[str, Profile], verdict: Verdict, note: str) -> None:
    """The run's metrics by window, its report, and what it says."""
    for place, one in enumerate(windows):
        values = {"items": one.items, "failed": one.failed, "items_per_second": one.load}
        values |= {f"seconds_p{name}": value for name, value in zip(("50", "95", "99"), one.seconds, strict=False)}
        values |= (
            {"drift_severity": max((found.severity for found in one.findings), default=0.0)} if one.findings else {}
        )
        for kind, known in (("estimated", one.estimates), ("measured", one.measured)):
            for output, figure in known.items():
                if figure.value is not None:
                    values[f"{kind}_accuracy{output and '_'}{output}"] = figure.value
        values |= {f"measured_error{output and '_'}{output}": error.value for output, error in one.errors.items()}
        mlflow.log_metrics(values, step=place, timestamp=int(1000 * one.end))
    mlflow.log_text(html(task.name, windows, profiles, verdict), "report.html")
    reasons = [[reason.level.word, reason.sentence, reason.when] for reason in verdict.reasons]
    mlflow.log_dict({"verdict": verdict.level.word, "reasons": reasons}, "verdict.json")
    mlflow.set_tag(VERDICT_TAG, verdict.level.word)
    sentences = "\n".join(f"- {one.sentence}" for one in verdict.reasons[:10])
    runs.describe(f"{note}\n\n**{verdict.level.word}**\n\n{sentences}\n\nThe whole report: artifact `report.html`.")

"""Hold what was served against the profiles of the versions that served it, and say what follows."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
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
from monitoring.verdict import Champion, Expected, Verdict, corrected, current, decide, with_labels
from monitoring.windows import Watched, watched
from registry import ledger
from registry.candidates import REHEARSAL_TAG, model_id_of
from serving.rehearsal import RehearsalError
from tasks.contract import Task, UserError

LEAST_MINUTES, MOST_WINDOWS = 1, 1_000
MOST_HOURS = 10 * 366 * 24
VERDICT_TAG = "verdict"


class ProfileError(Exception):
    """There is nothing to hold a version's traffic against; the message says why."""


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
        if not LEAST_MINUTES <= self.minutes <= 60 * MOST_HOURS:
            allowed = f"from {LEAST_MINUTES} to {60 * MOST_HOURS:,}"
            raise UserError(f"minutes must be {allowed}, received {self.minutes:g}.")
        if not 0 < self.hours <= MOST_HOURS:
            raise UserError(f"hours must be above 0 and at most {MOST_HOURS:,}, received {self.hours:g}.")
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
        versions = Versions(client, task)
        windows = corrected(list(_windows(versions, folder, span.windows(time.time()), labels)))
        now, known, champion = time.time(), versions.expected, champion_of(client, task)
        counting = current(windows, champion, now)
        verdict = decide(counting, known, champion, versions.others | set(known))
        verdict = with_labels(verdict, windows, len(labels))
        _log(task, windows, versions.profiles, verdict, note)
        leave(folder, task.name, list(gauges(counting, verdict, known, now)))
        keep_verdict(place, folder, task.name)
    return verdict


class Versions:
    """What is known of a task's versions, looked up when it is first asked for.

    Attributes:
        profiles: Of those that have one, by source.
        expected: Of all, by source.
        others: What else was asked for, and is no version of this task.
    """

    def __init__(self, client: MlflowClient, task: Task) -> None:
        self.profiles: dict[str, Profile] = {}
        self.expected: dict[str, Expected] = {}
        self.others: set[str] = set()
        self._client, self._task = client, task

    def know(self, source: str) -> bool:
        """Looks a version up. Whether it is one of this task."""
        if source in self.expected or source in self.others:
            return source in self.expected
        if not (found := re.fullmatch(rf"models:/{re.escape(self._task.name)}/(\d+)", source)):
            self.others.update({source} - {""})  # a model without a name has none
            return False
        bounds = Expected(bound_ms=self._task.latency_bound_ms, rehearsed_ms=self._rehearsed_ms(found[1]))
        try:
            profile = profile_of(self._client, self._task, found[1])
        except ProfileError as error:
            self.expected[source] = dataclasses.replace(bounds, incomparable=str(error))
        else:
            self.profiles[source] = profile
            accuracies = {name: one.accuracy for name, one in profile.calibrations.items()}
            self.expected[source] = dataclasses.replace(bounds, accuracies=accuracies, errors=profile.errors)
        return True

    def _rehearsed_ms(self, number: str) -> float | None:
        with contextlib.suppress(MlflowException, ValueError, KeyError):  # it is gone, or its rehearsal failed
            tags = self._client.get_model_version(self._task.name, number).tags
            return float(json.loads(tags[REHEARSAL_TAG])["p50_ms"])
        return None


def _windows(
    versions: Versions, folder: Path, spans: Sequence[tuple[float, float]], labels: Mapping[str, str]
) -> Iterator[Watched]:
    """What each version of the task did in each window in which it did something."""
    for begin, end in spans:
        traffic = read(folder, begin, end)
        sources = filter(versions.know, set(traffic.rows["source"]))
        for source in sorted(sources, key=lambda source: int(source.rpartition("/")[2])):
            yield watched(traffic, source, begin, min(end, time.time()), versions.profiles.get(source), labels)


def profile_of(client: MlflowClient, task: Task, number: str) -> Profile:
    """The profile of a version.

    Raises:
        ProfileError: It has none that this code can read, or is gone.
    """
    try:
        version = client.get_model_version(task.name, number)
        with tempfile.TemporaryDirectory() as folder:
            file = fetch(client, model_id_of(version), folder).path / "artifacts" / FILE
            data = file.read_bytes() if file.exists() else b""
    except (MlflowException, RehearsalError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ProfileError(f"version {number} cannot be had from the registry ({reason})") from error
    try:
        profile = Profile.from_json(data.decode()) if data else None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ProfileError(f"the profile of version {number} is damaged") from error
    if profile is None:
        raise ProfileError(f"version {number} was logged by code of other profiles, or of none; train anew")
    return profile


def champion_of(client: MlflowClient, task: Task) -> Champion | None:
    """The version that the alias points to, and since when; None where there is none."""
    if (number := ledger.champion(client, task.name)) is None:
        return None
    moves = ledger.history(client, task.name)
    is_noted = bool(moves) and moves[-1].after == number  # a hand may have moved the alias
    since = datetime.datetime.fromisoformat(moves[-1].time).timestamp() if is_noted else None
    return Champion(f"models:/{task.name}/{number}", since)


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

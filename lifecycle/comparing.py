"""Run a study: train every variant with several seeds, compare them, and say what can be said."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from lifecycle import runs, search
from lifecycle.errors import StepError
from lifecycle.fingerprint import changes_since, data_digests, equal_run, fingerprint
from lifecycle.heartbeat import PROCESS_TAG, SEARCH_PARAM
from lifecycle.training import VARIANT_TAG, Part, run_name
from lifecycle.workers import Done, Job, at_once, run_all, train_job
from lifecycle.workplace import process_id
from registry.candidates import REUSED_TAG, WEIGHTS_TAG
from studies.outcome import Outcome, Repeat
from studies.report import Report
from studies.search_report import SearchReport
from tasks.contract import Search, Study, Task, UserError, check_least, unknown

DEFAULT = "default"  # the task's first study
ALL = "all"
SEARCH = "search"
STUDY_TAG = "study"
CURVES = ("train_", "val_", "epoch_seconds")


@dataclasses.dataclass(frozen=True)
class Options:
    """How a study is run.

    Attributes:
        repeats: Seeds 1 to this are trained with.
        force: Whether to train what was trained before.
        jobs: Train runs at once; 0 for what suits the machine.
        trials: Of a search, over all processes that take part in it.
    """

    repeats: int = 3
    force: bool = False
    jobs: int = 0
    trials: int = 20

    def __post_init__(self) -> None:
        check_least(self, 1, "repeats", "trials")
        check_least(self, 0, "jobs")


def compare(task: Task, name: str, options: Options) -> list[Outcome]:
    """Runs a study of the task, its first one by default, all of them, or a search.

    Raises:
        UserError: There is no such study.
        StepError: Some runs failed; everything else was done and reported.
    """
    names = [*task.studies, ALL, *([SEARCH] if task.search else [])]
    if name == DEFAULT:
        name = first_study(task)
    if name not in names:
        raise UserError(unknown(f"study of {task.name}", name, names))
    client = runs.connect()
    if name == SEARCH and task.search:
        run_search(client, task, task.search, options)
        return []
    if name == ALL:
        note = f"All studies of **{task.name}**: {', '.join(task.studies)}."
        with runs.step_run(client, task, "compare", "all studies", note):
            outcomes = [run_study(client, task, study, options) for study in task.studies]
    else:
        outcomes = [run_study(client, task, name, options)]
    if failures := [f"{o.name}: {f.variant}, seed {f.seed}: {f.failure}" for o in outcomes for f in o.failures]:
        count = sum(len(outcome.repeats) for outcome in outcomes)
        reasons = "; ".join(failure.rstrip(".") for failure in failures)
        raise StepError(f"{len(failures)} of {count} runs failed. {reasons}.")
    return outcomes


def first_study(task: Task) -> str:
    """The study that is run where none is named.

    Raises:
        UserError: The task has none.
    """
    if not task.studies:
        raise UserError(f"{task.name} has no study. Write one into tasks/{task.name}/studies.py.")
    return next(iter(task.studies))


def run_study(client: MlflowClient, task: Task, name: str, options: Options) -> Outcome:
    """One study under a run of its own, with its report."""
    study = task.studies[name]
    title = f"{name}, {options.repeats} repeats"
    note = f"**{study.question}** {len(study.variants)} variants of **{task.name}**, {options.repeats} seeds each."
    with runs.step_run(client, task, "compare", title, note) as run:
        started = time.perf_counter()
        mlflow.set_tag(STUDY_TAG, name)
        mlflow.log_params({"study": name, "study.repeats": options.repeats, "study.variants": len(study.variants)})
        runs.log_code_and_environment()
        print(f"\n{name} · run {run.info.run_id}\n{study.question}", flush=True)
        jobs = jobs_of(task, study, run, options.repeats)
        try:
            known = set() if options.force else reuse(client, task, run, jobs)
            failures = train_missing([job for job in jobs if job not in known], study, options)
        except BaseException:  # its processes are gone, wherever in their work that met them
            runs.end_unfinished(client, run)
            raise
        outcome = Outcome(task.name, name, study, task.primary, collect(client, run, jobs, failures))
        report = Report(outcome, run.info.run_id, reused=len(known))
        log_report(report)
        mlflow.log_metric("study_seconds", time.perf_counter() - started)
        print("".join(f"- {sentence}\n" for sentence in report.sentences()), end="", flush=True)
    return outcome


def run_search(client: MlflowClient, task: Task, wanted: Search, options: Options) -> None:
    """Takes part in the task's search until it has all its trials."""
    whole = search.open_search(client, task, wanted)
    study_id = whole.info.run_id
    title = whole.info.run_name
    note = f"Takes part in the {runs.link(whole, title)} of **{task.name}** until it has {options.trials} trials."
    with runs.step_run(client, task, "compare", f"part of {title}", note):
        mlflow.log_params({SEARCH_PARAM: study_id, "search.trials": options.trials})
        processes = options.jobs or at_once(options.trials)
        print(f"\n{title} · run {study_id}\nup to {options.trials} trials, {processes} at once", flush=True)
        worker = search.Worker(task.name, wanted, study_id, options.trials)
        client.update_run(study_id, status="RUNNING")
        try:
            with contextlib.closing(run_all(search.take_part, [worker] * processes, processes)) as ended:
                mlflow.log_metric("search_trials", sum(ended))
        except BaseException:
            if not runs.children(client, whole, "RUNNING"):  # nobody else takes part
                client.set_terminated(study_id, "KILLED")
            raise
        trials = search.trials_of(client, study_id)
        report = SearchReport(task.name, task.primary, trials, search.best_run(client, task, trials))
        client.log_figure(study_id, report.figure(), "figures/trials.png")
        client.set_tag(study_id, runs.NOTE, report.markdown())
        client.set_terminated(study_id)
        runs.describe(f"{note}\n\n{report.sentence()}")
        print(f"- {report.sentence()}\n- {report.advice()}", flush=True)


def jobs_of(task: Task, study: Study, parent: Run, repeats: int) -> list[Job]:
    """Every variant with every seed; all variants with the first seed first, so that what is there when a study is
    interrupted can be compared."""
    return [
        Job(task.name, dataclasses.replace(config, seed=seed), Part(parent.info.run_id, variant, study.timed))
        for seed in range(1, repeats + 1)
        for variant, config in study.variants.items()
    ]


def reuse(client: MlflowClient, task: Task, parent: Run, jobs: Sequence[Job]) -> set[Job]:
    """Takes over finished runs that would come out the same, and says for every other one that was trained before what
    has changed."""
    data = data_digests(task.load)
    experiment = parent.info.experiment_id
    known = set()
    for job in jobs:
        wanted = fingerprint(task, job.config, data)
        name = run_name(job.config, job.part)
        if same := equal_run(client, experiment, wanted, job.part.timing):
            adopt(client, same, job)
            known.add(job)
        elif changed := changes_since(client, experiment, wanted, {"mlflow.runName": name, "task": task.name}):
            print(f"{name}: trained again, because this changed since run {changed[0]}: {', '.join(changed[1])}")
    if known:
        print(
            f"{len(known)} of {len(jobs)} reused: finished runs of the same code, configuration, data, seed and "
            "library versions (-P force=true trains them again)"
        )
    return known


def adopt(client: MlflowClient, same: Run, job: Job) -> None:
    """A child of the study that repeats a run without training: its parameters, metrics and curves."""
    original = runs.link(same, same.info.run_id)
    note = f"Not trained: {original} has the same code, configuration, data, seed and library versions."
    name = run_name(job.config, job.part)
    tags = {"mlflow.parentRunId": job.part.parent, "mlflow.runName": name, "task": job.task, "step": "train"}
    tags |= {VARIANT_TAG: job.part.variant, REUSED_TAG: same.info.run_id, runs.NOTE: note}
    tags |= {PROCESS_TAG: process_id()}
    child = client.create_run(same.info.experiment_id, start_time=same.info.start_time, tags=tags)
    metrics = [
        Metric(key, point.value, point.timestamp, point.step)
        for key in same.data.metrics
        if not key.startswith("system/")
        for point in client.get_metric_history(same.info.run_id, key)
    ]
    params = [Param(key, value) for key, value in same.data.params.items()]
    client.log_batch(child.info.run_id, params=params, tags=[RunTag(WEIGHTS_TAG, same.data.tags[WEIGHTS_TAG])])
    runs.log_points(client, child.info.run_id, metrics)
    client.set_terminated(child.info.run_id, end_time=same.info.end_time)


def train_missing(jobs: Sequence[Job], study: Study, options: Options) -> dict[Job, str]:
    """Trains what is not there yet, and tells how it goes. Gives the reasons of those that failed."""
    failures: dict[Job, str] = {}
    if not jobs:
        return failures
    processes = 1 if study.timed else options.jobs or at_once(len(jobs))
    print(f"{len(jobs)} to train, {processes} at once")
    seconds = 0.0
    with contextlib.closing(run_all(train_job, jobs, processes)) as ended:
        for count, done in enumerate(ended, 1):
            if done.failure:
                failures[done.job] = done.failure
            seconds += done.seconds
            left = len(jobs) - count
            remaining = f" · about {_span(seconds / count * max(1, left / processes))} left" if left else ""
            print(f"[{count}/{len(jobs)}] {_line(done)}{remaining}", flush=True)
    return failures


def collect(client: MlflowClient, parent: Run, jobs: Sequence[Job], failures: Mapping[Job, str]) -> list[Repeat]:
    """What the study's runs found, in the order of variants and seeds."""
    children = {
        (child.data.tags[VARIANT_TAG], child.data.params.get("config.seed")): child
        for child in runs.children(client, parent)
    }
    found = []
    for job in jobs:
        variant, seed = job.part.variant, job.config.seed
        run = children.get((variant, str(seed)))
        if (reason := failures.get(job)) or run is None:
            found.append(Repeat(variant, seed, run.info.run_id if run else "", {}, {}, reason or "it left no run"))
            continue
        curves = {key: _curve(client, run.info.run_id, key) for key in run.data.metrics if key.startswith(CURVES)}
        metrics = run.data.metrics | {"train_examples": float(run.data.params["data.train_examples"])}
        found.append(Repeat(variant, seed, run.info.run_id, metrics, curves))
    order = list(dict.fromkeys(job.part.variant for job in jobs))
    return sorted(found, key=lambda repeat: (order.index(repeat.variant), repeat.seed))


def log_report(report: Report) -> None:
    """The page, its figures, its figures in numbers, and the description of the study's run."""
    mlflow.log_text(report.html(), "report.html")
    mlflow.log_dict(report.numbers(), "report.json")
    for name, figure in report.figures.items():
        mlflow.log_figure(figure, f"figures/{name}.png")
    for name, value in report.metrics().items():
        mlflow.log_metric(name, value)
    runs.describe(report.markdown())


def _curve(client: MlflowClient, run_id: str, key: str) -> list[float]:
    """One value an epoch; the last epoch's may have been measured once more at the end."""
    points: dict[int, float] = {}
    for point in client.get_metric_history(run_id, key):
        points.setdefault(point.step, point.value)
    return [points[step] for step in sorted(points)]


def _line(done: Done) -> str:
    name = run_name(done.job.config, done.job.part)
    return f"{name}: failed: {done.failure}" if done.failure else f"{name}: {_span(done.seconds)}"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"

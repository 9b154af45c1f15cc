"""Train anew what is no longer right, by a verdict or a person, on the data there is now; the gate decides as ever."""

from __future__ import annotations

import dataclasses
import itertools

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lifecycle import runs
from lifecycle.promotion import promote
from lifecycle.resuming import CONFIG_FILE
from lifecycle.scoring import evaluate
from lifecycle.training import train
from registry.candidates import find
from registry.ledger import champion
from registry.store import paged
from tasks.contract import Config, Task, UserError, how_to_run


def retrain(task: Task) -> bool:
    """Trains the champion's configuration with another seed, evaluates it, and offers it to the gate.

    Returns:
        Whether it is the new champion.

    Raises:
        UserError: There is no champion, or it was not trained here.
    """
    client = runs.connect()
    config = champions_config(client, task)
    note = f"Trains `{config.model}` of **{task.name}** anew, with seed {config.seed}, evaluates and promotes it."
    with runs.step_run(client, task, "retrain", f"retrain {config.model}, seed {config.seed}", note):
        trained = train(task, config)
        evaluate(task, trained.model_uri)
        promoted = promote(task, trained.model_uri, by_a_person=False)
        outcome = "It is the new champion." if promoted else "The champion stays."
        runs.describe(f"{note} {outcome}\n\n`{trained.model_uri}`")
    return promoted


def champions_config(client: MlflowClient, task: Task) -> Config:
    """The configuration that the champion was trained with, and the next seed that was not tried yet.

    Raises:
        UserError: There is none, or this code does not know it.
    """
    version = champion(client, task.name)
    if version is None:
        train_first = how_to_run("main", task=task.name)
        raise UserError(f"{task.name} has no champion to train anew. Make one first: {train_first}")
    candidate = find(client, task, f"models:/{task.name}/{version}")
    run = client.get_run(candidate.run_id)
    try:
        values = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/{CONFIG_FILE}")
        config = type(task.models[values["model"]])(**values)
    except (MlflowException, OSError, KeyError, TypeError) as error:
        raise UserError(
            f"Version {version} of {task.name} was not trained by this code: its run has no configuration that fits. "
            f"Train one: {how_to_run('train', task=task.name)}"
        ) from error
    return dataclasses.replace(config, seed=next_seed(client, task, config))


def next_seed(client: MlflowClient, task: Task, config: Config) -> int:
    """The first above the configuration's with which no train run of it has finished, in any experiment.

    The same seed again would give the same weights again, which the gate may have refused or somebody rolled back, so
    a seed that a study took is left out, too. One whose run was interrupted is still to be tried.
    """
    wanted = {f"config.{name}": str(value) for name, value in dataclasses.asdict(config).items() if name != "seed"}
    experiments = [one.experiment_id for one in mlflow.search_experiments()]
    finished = f"tags.step = 'train' AND tags.task = '{task.name}' AND attributes.status = 'FINISHED'"
    params = (run.data.params for run in paged(client.search_runs, experiments, finished))
    # Runs of earlier code lack what a configuration did not have then.
    same = (one for one in params if all(one.get(name, value) == value for name, value in wanted.items()))
    tried = {one.get("config.seed") for one in same}
    return next(seed for seed in itertools.count(config.seed + 1) if str(seed) not in tried)

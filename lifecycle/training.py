"""Train one model of a task and log it, ready to be evaluated, promoted and served."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset import Dataset
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.numpy_dataset import from_numpy
from mlflow.entities import Run
from mlflow.models import Model
from rich.console import Console
from rich.table import Table

from forms.outputs import Outputs
from lifecycle import calibration, runs
from lifecycle.fingerprint import fingerprint, log_fingerprint
from lifecycle.model_files import keep_manifest
from lifecycle.resuming import CONFIG_FILE, Interrupted, check_same_data, copy_curves, drop_checkpoint, restore
from lifecycle.terminal import import_keras
from lifecycle.trial import try_export
from monitoring.making import make_profile
from monitoring.profile import FILE as PROFILE_FILE
from registry.candidates import NUMBER_METRIC, TASK_TAG, WEIGHTS_TAG, find, next_number
from registry.card import ITEM_PARAM, Facts, describe, render
from registry.store import retried_once
from serving.package import Package, check_outputs, package, run_onnx
from tasks.contract import Config, Items, Split, Task

if TYPE_CHECKING:
    from lifecycle.callbacks import Watch

logger = logging.getLogger(__name__)

# Of a study's train run.
VARIANT_TAG = "variant"
TIMED_TAG = "timed_on"  # the machine that it had for itself
MAX_DATASET_DIGEST = 36  # what MLflow keeps of a dataset's digest; the whole one is a parameter


@dataclass(frozen=True)
class Trained:
    """What a train run leaves behind: its id and the URI of the logged model."""

    run_id: str
    model_uri: str


@dataclass(frozen=True)
class Part:
    """Makes a train run part of a study.

    Attributes:
        parent: Id of the study's run.
        variant: Name of the variant.
        timed: Whether it has the machine for itself, and its seconds can be compared.
    """

    parent: str
    variant: str
    timed: bool = False

    @property
    def tags(self) -> dict[str, str]:
        """Of the run."""
        return {VARIANT_TAG: self.variant} | self.timing

    @property
    def timing(self) -> dict[str, str]:
        """The tag of a run whose seconds can be compared with this one's; none where seconds do not matter."""
        return {TIMED_TAG: platform.node()} if self.timed else {}


def train(
    task: Task,
    config: Config,
    interrupted: Interrupted | None = None,
    part: Part | None = None,
    watch: Watch | None = None,
) -> Trained:
    """Trains the model of `config`, from the start or from where `interrupted` stopped.

    Args:
        task: Whose model it is.
        config: What to train.
        interrupted: Where to go on from.
        part: The study that the run belongs to.
        watch: Told every epoch and its metrics; it may raise to stop the run.

    Raises:
        UserError: The configuration asks for what cannot be, or training diverged.
    """
    client = runs.connect()
    name = run_name(config, part)
    note = f"Trains the `{config.model}` model of **{task.name}**. {task.summary}"
    parent, tags = (part.parent, part.tags) if part else (None, {})
    with runs.step_run(client, task, "train", name, note, parent, tags, log_system_metrics=True) as run:
        log_config(values := dataclasses.asdict(config))
        runs.log_code_and_environment()
        import_keras()  # takes seconds; a mistake in the arguments was told before
        train_split, validation = task.load("train"), task.load("validation")
        if interrupted is None:  # one that was continued may have begun with other code
            log_fingerprint(fingerprint(task, config, {"train": train_split.digest, "validation": validation.digest}))
        if config.train_examples:
            train_split = train_split.subset(config.train_examples, config.seed)
        log_data(task, train=train_split, validation=validation)
        # A study's run that stops is trained anew, so it needs no checkpoints.
        model = fit(client, task, config, train_split, validation, interrupted, watch, checkpoints=part is None)
        temperatures = calibration.calibrate(task, model, validation) if config.calibrate else {}
        with tempfile.TemporaryDirectory() as folder:
            packaged = package(task, model, validation, Path(folder))
            metrics = measured(task, validation, packaged.outputs, "val") | calibration.metrics(temperatures)
            metrics |= measured_on_training(task, packaged, train_split, len(validation))
            add_facts(client, run, task, run_name(config), values, packaged, metrics, validation, Path(folder))
            trained = log_model(client, run, task, config.model, values, packaged, metrics, config.epochs)
        log_figures(client, run, task, model, validation, packaged, temperatures)
        for checkpointed in [run] + ([interrupted.run] if interrupted else []):
            drop_checkpoint(client, checkpointed)
        describe(client, task, find(client, task, trained.model_uri))
        runs.describe(_summary(task, config, metrics, trained, interrupted))
        _print_table(run, metrics | {"onnx_max_abs_diff": packaged.parity}, trained)
    return trained


def log_config(values: dict[str, Any]) -> None:
    """Logs a configuration as parameters, for people, and as a file, to go on from."""
    mlflow.log_params({f"config.{key}": value for key, value in values.items()})
    mlflow.log_dict(values, CONFIG_FILE)


def run_name(config: Config, part: Part | None = None) -> str:
    """What people know a train run by."""
    return f"{part.variant if part else config.model}, seed {config.seed}"


def measured_on_training(task: Task, packaged: Package, train_split: Split, most: int) -> dict[str, float]:
    """The finished model's metrics on examples of the training split, at most so many, as `trained_<metric>`.

    What Keras calls training accuracy is a mean over an epoch in which the weights change and units are dropped; held
    against validation, it hides how much the model has learnt by heart.
    """
    seen = train_split.subset(min(most, len(train_split)), seed=0)
    outputs = run_onnx(Path(packaged.artifacts["onnx"]), seen.inputs)
    return measured(task, seen, task.answer.served(outputs), "trained")


def measured(task: Task, split: Split, outputs: Outputs, prefix: str) -> dict[str, float]:
    """The task's metrics as `<prefix>_<metric>`."""
    return {f"{prefix}_{name}": value for name, value in task.metrics(task.scores(split, outputs)).items()}


def fit(
    client: MlflowClient,
    task: Task,
    config: Config,
    train_split: Split,
    validation: Split,
    interrupted: Interrupted | None,
    watch: Watch | None,
    checkpoints: bool,
) -> Any:
    """The trained Keras model, every epoch logged."""
    import keras

    from lifecycle.callbacks import Checkpointer, EpochLogger

    keras.utils.clear_session()  # of what a run before in this process has left
    keras.utils.set_random_seed(config.seed)
    if interrupted:
        check_same_data(interrupted, train_split, validation)
        model = restore(client, task, interrupted)
        copy_curves(client, interrupted)
        logger.info("Continues run %s after epoch %d.", interrupted.run.info.run_id, interrupted.epochs_done)
    else:
        model = task.build(config)
        # What is wrong with them would else be found after hours. Before a model is called, Keras knows them of some.
        if (outputs := getattr(model, "output", None)) is not None:
            check_outputs(task, outputs)
        try_export(task, config, model, train_split)
    if config.calibrate:
        calibration.check(task, model)
    mlflow.log_param("model.parameters", model.count_params())
    callbacks = [EpochLogger(watch), *([Checkpointer(config.epochs)] if checkpoints else [])]
    first = interrupted.epochs_done if interrupted else 0
    task.fit(model, train_split, validation, config, callbacks=callbacks, initial_epoch=first)
    return model


def log_data(task: Task, **splits: Split) -> None:
    """Logs each split as a run input, and its whole digest as a parameter."""
    for name, split in splits.items():
        retried_once(mlflow.log_input, _dataset(split, f"{task.name}-{name}"), context=name)
        mlflow.log_params({f"data.{name}_digest": split.digest, f"data.{name}_examples": len(split)})


def _dataset(split: Split, name: str) -> Dataset:
    digest = split.digest[:MAX_DATASET_DIGEST]
    if isinstance(split.inputs, Items):  # of which MLflow would make an array
        return MetaDataset(CodeDatasetSource(tags={}), name, digest)  # type: ignore[abstract]  # MLflow's own stubs
    return from_numpy(split.inputs, targets=split.targets, name=name, digest=digest)


def add_facts(
    client: MlflowClient,
    run: Run,
    task: Task,
    name: str,
    values: Mapping[str, Any],
    packaged: Package,
    metrics: dict[str, float],
    validation: Split,
    folder: Path,
) -> None:
    """Adds to the files that are logged with a model its reference profile, and its card as far as it is known by
    now."""
    profile = folder / PROFILE_FILE
    profile.write_text(make_profile(task, Path(packaged.artifacts["onnx"]), validation).to_json())
    packaged.artifacts["profile"] = str(profile)
    size = task.item.size(packaged.metadata["item_shape"])
    mlflow.log_param(ITEM_PARAM, f"{size} {packaged.metadata['item_type']}")
    facts = Facts(name, values, client.get_run(run.info.run_id).data.params, metrics)
    path = folder / "card.md"
    path.write_text(render(task, facts), encoding="utf-8")
    packaged.artifacts["card"] = str(path)


def log_model(
    client: MlflowClient,
    run: Run,
    task: Task,
    name: str,
    values: Mapping[str, Any],
    packaged: Package,
    metrics: dict[str, float],
    epochs: int = 0,
) -> Trained:
    """Logs the pyfunc model with the manifest of its files, the values that it was made with, its validation metrics
    and its number among the task's."""
    digest = packaged.metadata["weights_digest"]
    tags = {TASK_TAG: task.name, WEIGHTS_TAG: digest}
    info = Model.log(
        None,
        packaged,
        name=name,
        params=dict(values),
        tags=tags,
        flavor_name="pyfunc",
        validate_serving_input=False,  # it is asked about the example in a real server before it is promoted
    )
    keep_manifest(client, info.model_id)
    metrics = metrics | {"onnx_max_abs_diff": packaged.parity, NUMBER_METRIC: next_number(client, task)}
    mlflow.log_metrics(metrics, step=epochs, model_id=info.model_id)
    mlflow.set_tag(WEIGHTS_TAG, digest)
    return Trained(run.info.run_id, f"models:/{info.model_id}")


def log_figures(
    client: MlflowClient,
    run: Run,
    task: Task,
    model: Any,
    validation: Split,
    packaged: Package,
    temperatures: Mapping[str, float],
) -> None:
    """Learning curves, and the task's own figures of the model and of its answers on the validation split. Where the
    model was calibrated, reliability is shown as it was, too."""
    from lifecycle import drawing  # Matplotlib, too, takes its time

    history: dict[str, list[float]] = {}
    epochs: list[int] = []
    names = [key for key in client.get_run(run.info.run_id).data.metrics if key.startswith("train_")]
    for name in sorted(name for key in names for name in (key, key.replace("train_", "val_", 1))):
        points = {point.step: point.value for point in client.get_metric_history(run.info.run_id, name)}
        epochs = sorted(points)
        history[name] = [points[epoch] for epoch in epochs]
    mlflow.log_figure(drawing.curves(history, epochs), "figures/curves.png")
    own = task.model_figures(model, validation) if task.model_figures else ()
    calibrated = calibration.diagrams(temperatures, packaged.outputs, validation.targets)
    for name, figure in itertools.chain(task.figures(validation, packaged.outputs), own, calibrated):
        mlflow.log_figure(figure, f"figures/{name}")


def _summary(
    task: Task, config: Config, metrics: dict[str, float], trained: Trained, interrupted: Interrupted | None
) -> str:
    primary = f"val_{task.primary.name}"
    resumed = (
        f" Continued from run {interrupted.run.info.run_id} after epoch {interrupted.epochs_done}."
        if interrupted
        else ""
    )
    return (
        f"`{config.model}` of **{task.name}**, {config.epochs} epochs, batch size {config.batch_size}, "
        f"learning rate {config.learning_rate:g}, seed {config.seed}.{resumed}\n\n"
        f"**{primary} {metrics[primary]:.4f}**, val_loss {metrics['val_loss']:.4f}. Model: `{trained.model_uri}`"
    )


def _print_table(run: Run, metrics: dict[str, float], trained: Trained) -> None:
    console = Console()
    console.print(f"\n{run.data.tags['mlflow.runName']} · run {run.info.run_id}")
    table = Table()
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4g}" if value < 1e-3 else f"{value:.4f}")
    console.print(table)
    console.print(f"Logged {trained.model_uri}")

"""Keras callbacks of the train step: what MLflow learns of every epoch, and what a resumed run starts from."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import mlflow

from lifecycle.runs import CHECKPOINT_TAG
from tasks.contract import UserError

Watch = Callable[[int, dict[str, float]], None]


class EpochLogger(keras.callbacks.Callback):
    """Logs `train_*` and `val_*` metrics, a scheduled `learning_rate` and `epoch_seconds` after every epoch, counted
    from 1.

    Args:
        watch: Told the epoch and its values once they are logged; it may raise to stop the run.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        super().__init__()
        self._started = 0.0
        self._watch = watch

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"Training diverged: the loss of epoch {epoch + 1} is {logs['loss']}. Try a lower learning_rate."
            )
        # Keras's schedules tell the rate among the metrics; it is of no split.
        own = {name for name in logs if name.startswith("val_") or name == "learning_rate"}
        values = {name if name in own else f"train_{name}": float(value) for name, value in logs.items()}
        # Keras adds the regularizers' penalty to both losses. On the validation split it is left out, so that models
        # with and without can be compared; the weights have not changed since.
        values["val_loss"] -= float(sum(self.model.losses))
        mlflow.log_metrics(values | {"epoch_seconds": time.perf_counter() - self._started}, step=epoch + 1)
        if self._watch:
            self._watch(epoch + 1, values)


class Checkpointer(keras.callbacks.Callback):
    """Stores the whole training state after every epoch but the last, in the run's artifacts.

    Two files take turns and a tag names the one that is complete, so that being killed while one is written leaves the
    other.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        done = epoch + 1
        if done == self._epochs:
            return
        name = f"{'even' if done % 2 == 0 else 'odd'}.keras"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            self.model.save(path)
            mlflow.log_artifact(str(path), "checkpoint")
        mlflow.set_tag(CHECKPOINT_TAG, f"{done}:checkpoint/{name}")

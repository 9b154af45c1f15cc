"""The networks of tasks about tables."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from tasks.contract import Config
from tasks.tables import INTERVAL, Table

# Of six settings the best on the validation splits of scikit-learn's diabetes and breast cancer, three seeds each.
UNITS = 32
DROPOUT = 0.3
DECAY = keras.regularizers.L2(1e-3)


@keras.saving.register_keras_serializable("tables")
class Pinball(keras.losses.Loss):
    """Least where the outputs (N, 3) are the median of the targets (N,) and the ends of an interval that holds the
    share `interval` of them (Koenker & Bassett 1978), in units of `spread`."""

    def __init__(self, interval: float, spread: float, **options: Any) -> None:
        super().__init__(**options)
        self.interval = interval
        self.spread = spread

    def call(self, y_true: Any, y_pred: Any) -> Any:
        quantiles = ops.convert_to_tensor([0.5, (1 - self.interval) / 2, (1 + self.interval) / 2], dtype=y_pred.dtype)
        error = (ops.reshape(ops.cast(y_true, y_pred.dtype), (-1, 1)) - y_pred) / self.spread
        return ops.mean(ops.maximum(quantiles * error, (quantiles - 1) * error), axis=-1)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {"interval": self.interval, "spread": self.spread}


def build(table: Table, config: Config) -> keras.Model:
    """A compiled model: rows (N, columns) float32 to probabilities (N, labels), or to a number and the ends of its
    interval (N, 3). Numbers are standardised, words become a 1 among zeros."""
    rows = keras.Input((len(table.columns),), dtype="float32", name="row")
    hidden = encoded(table, rows)
    for _ in range(2 if config.model == "dense" else 0):
        hidden = layers.Dropout(DROPOUT)(layers.Dense(UNITS, "relu", kernel_regularizer=DECAY)(hidden))
    if table.labels:
        model = keras.Model(rows, layers.Dense(len(table.labels), "softmax")(hidden))
        loss: Any = "sparse_categorical_crossentropy"
    else:
        mean, spread = table.scale
        number, sides = layers.Dense(1)(hidden), layers.Dense(2, "softplus")(hidden)  # the ends lie to its sides
        ends = layers.Concatenate()([number, number - sides[:, :1], number + sides[:, 1:]])
        model = keras.Model(rows, layers.Rescaling(spread, offset=mean)(ends))
        loss = Pinball(INTERVAL, spread)
    metrics = ["accuracy"] if table.labels else []
    model.compile(keras.optimizers.Adam(config.learning_rate), loss, metrics=metrics)
    return model


def encoded(table: Table, rows: Any) -> Any:
    """What the network sees of rows (N, columns)."""
    numbers = [place for place, column in enumerate(table.columns) if not column.choices]
    parts = [
        ops.one_hot(ops.cast(rows[:, place], "int32"), len(column.choices))
        for place, column in enumerate(table.columns)
        if column.choices
    ]
    if numbers:
        parts.append(layers.Normalization(name="standardised")(ops.take(rows, numbers, axis=1)))
    return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]

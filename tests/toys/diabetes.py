"""How far diabetes will have progressed in a year, by ten measurements: a row of a table gets a number with an
interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.datasets import load_diabetes

from forms.answers.number import Number
from forms.items.row import Row
from tasks.contract import Config, Figures, Primary, Scores, Split, SplitName, Task

if TYPE_CHECKING:
    import keras

ENDS = {"train": (0, 264), "validation": (264, 353), "test": (353, 442)}
QUANTILES = (0.5, 0.05, 0.95)  # the number, and the ends of its interval
THIRDS = ("low", "middle", "high")


def load(name: SplitName) -> Split:
    data = load_diabetes(scaled=False)
    rows = np.random.default_rng(1).permutation(len(data.target))[slice(*ENDS[name])]
    return Split(data.data[rows].astype(np.float32), data.target[rows].astype(np.float32))


def build(config: Config) -> keras.Model:
    import keras

    @keras.saving.register_keras_serializable("diabetes")  # type: ignore[untyped-decorator]
    def pinball(targets: Any, outputs: Any) -> Any:
        """It is least where the outputs are these quantiles (Koenker & Bassett 1978)."""
        error = keras.ops.reshape(targets, (-1, 1)) - outputs
        quantiles = keras.ops.convert_to_tensor(QUANTILES)
        return keras.ops.mean(keras.ops.maximum(quantiles * error, (quantiles - 1) * error), axis=-1)

    inputs = keras.Input((10,))
    hidden = keras.layers.Dense(16, "relu")(keras.layers.BatchNormalization()(inputs))
    model = keras.Model(inputs, keras.layers.Rescaling(100.0)(keras.layers.Dense(len(QUANTILES))(hidden)))
    model.compile(keras.optimizers.Adam(config.learning_rate), pinball)
    return model


def scores(split: Split, outputs: np.ndarray) -> Scores:
    error = np.abs(outputs[:, 0] - split.targets).astype(np.float64)
    third = np.digitize(split.targets, [100.0, 180.0])
    within = (outputs[:, 1] <= split.targets) & (split.targets <= outputs[:, 2])
    return Scores(error, np.array(THIRDS)[third], {"squared": error**2, "within": within.astype(np.float64)})


def metrics(found: Scores) -> dict[str, float]:
    means = {name: float(column.mean()) for name, column in found.columns.items()}
    return {"mae": float(found.score.mean()), "loss": means["squared"], "within": means["within"]}


def figures(split: Split, outputs: np.ndarray) -> Figures:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().scatter(split.targets, outputs[:, 0])
    yield "predicted.png", figure


TASK = Task(
    name="diabetes",
    summary="Tell from ten measurements how far diabetes will have progressed in a year (scikit-learn's diabetes).",
    models={"dense": Config(model="dense", epochs=40, batch_size=16, learning_rate=1e-2)},
    load=load,
    build=build,
    scores=scores,
    metrics=metrics,
    figures=figures,
    # Always to say the mean of the training split is off by some 65.
    primary=Primary(name="mae", floor=55.0, margin=5.0, attainable=40.0, higher_is_better=False, share=False),
    item=Row(
        columns=("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
        example=(59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87),
    ),
    answer=Number("points", interval=0.9),
)

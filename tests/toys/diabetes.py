"""How far diabetes will have progressed in a year, by ten measurements: a row of a table gets a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_diabetes

from forms.answers.number import Number
from forms.items.row import Row
from tasks.contract import Config, Figures, Primary, Scores, Split, SplitName, Task

if TYPE_CHECKING:
    import keras

ENDS = {"train": (0, 264), "validation": (264, 353), "test": (353, 442)}
THIRDS = ("low", "middle", "high")


def load(name: SplitName) -> Split:
    data = load_diabetes(scaled=False)
    rows = np.random.default_rng(1).permutation(len(data.target))[slice(*ENDS[name])]
    return Split(data.data[rows].astype(np.float32), data.target[rows].astype(np.float32))


def build(config: Config) -> keras.Model:
    import keras

    inputs = keras.Input((10,))
    hidden = keras.layers.Dense(16, "relu")(keras.layers.BatchNormalization()(inputs))
    model = keras.Model(inputs, keras.layers.Rescaling(100.0)(keras.layers.Dense(1)(hidden)))
    model.compile(keras.optimizers.Adam(config.learning_rate), "mse")
    return model


def scores(split: Split, outputs: np.ndarray) -> Scores:
    error = np.abs(outputs[:, 0] - split.targets).astype(np.float64)
    third = np.digitize(split.targets, [100.0, 180.0])
    return Scores(error, np.array(THIRDS)[third], {"squared": error**2})


def metrics(found: Scores) -> dict[str, float]:
    return {"mae": float(found.score.mean()), "loss": float(found.columns["squared"].mean())}


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
    answer=Number("points"),
)

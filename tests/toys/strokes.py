"""Which digit is drawn, and how much ink it took: a drawing gets two answers, a label and a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forms.answers.labels import Labels
from forms.answers.number import Number
from forms.answers.several import Several
from forms.items.ink import Ink
from forms.outputs import Outputs
from tasks.contract import Config, Figures, Primary, Scores, Split, SplitName, Task, get_task

if TYPE_CHECKING:
    import keras

DIGITS = tuple("0123456789")


def load(name: SplitName) -> Split:
    split = get_task("digits").load(name)
    ink = split.inputs.mean(axis=(1, 2)).astype(np.float32)
    return Split(split.inputs, {"digit": split.targets, "ink": ink})


def build(config: Config) -> keras.Model:
    import keras

    inputs = keras.Input((8, 8), dtype="uint8")
    values = keras.layers.Flatten()(keras.layers.Rescaling(1 / 16)(inputs))
    hidden = keras.layers.Dense(32, "relu")(values)
    digit = keras.layers.Dense(10, "softmax")(hidden)
    model = keras.Model(inputs, {"digit": digit, "ink": keras.layers.Dense(1)(values)})
    losses = {"digit": "sparse_categorical_crossentropy", "ink": "mse"}
    model.compile(keras.optimizers.Adam(config.learning_rate), losses)
    return model


def scores(split: Split, outputs: Outputs) -> Scores:
    right = outputs["digit"].argmax(axis=1) == split.targets["digit"]
    error = np.abs(outputs["ink"][:, 0] - split.targets["ink"]).astype(np.float64)
    return Scores(right.astype(np.float64), np.array(DIGITS)[split.targets["digit"]], {"ink_error": error})


def metrics(found: Scores) -> dict[str, float]:
    error = float(found.columns["ink_error"].mean())
    return {"accuracy": float(found.score.mean()), "ink_mae": error, "loss": error}


def figures(split: Split, outputs: Outputs) -> Figures:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().scatter(split.targets["ink"], outputs["ink"][:, 0])
    yield "ink.png", figure


TASK = Task(
    name="strokes",
    summary="Tell which digit is drawn, and how much ink it took (scikit-learn's digits).",
    models={"dense": Config(model="dense", epochs=12, batch_size=16, learning_rate=1e-2)},
    load=load,
    build=build,
    scores=scores,
    metrics=metrics,
    figures=figures,
    primary=Primary(name="accuracy", floor=0.85, margin=0.02, attainable=1.0),
    item=Ink(white=16),
    answer=Several({"digit": Labels(DIGITS, ordered=True), "ink": Number("sixteenths")}),
)

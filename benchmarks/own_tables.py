"""How good a task is that `new` has written, against scikit-learn's models on the same rows.

    python -m benchmarks.own_tables

For breast cancer and diabetes, as scikit-learn carries them: five seeds, the metric on the validation split. The size
of the networks was chosen there, too, see tasks/tables_model.py.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tasks.contract import Primary, Task
from tasks.table_columns import look_at
from tasks.tables import task

SEEDS = (1, 2, 3, 4, 5)
BY_NAME: dict[str, tuple[pd.DataFrame, list[Any]]] = {
    "breast cancer": (
        load_breast_cancer(as_frame=True).frame,
        [LogisticRegression(max_iter=1000), HistGradientBoostingClassifier(random_state=1)],
    ),
    "diabetes": (
        load_diabetes(as_frame=True, scaled=False).frame,
        [Ridge(), HistGradientBoostingRegressor(loss="absolute_error", random_state=1)],
    ),
}


def main() -> None:
    for name, (frame, others) in BY_NAME.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "table.csv")
            frame.to_csv(file, index=False)
            found = look_at(str(file), "target").table
            metric = "accuracy" if found.labels else "mae"
            made = task("table", found, Primary(metric, 0.0, 0.0, 0.0))
            for model in made.models:
                values = [trained(made, model, seed)[metric] for seed in SEEDS]
                print(f"{name}, {model}: {metric} {statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}")
            for other in others:
                print(f"{name}, {type(other).__name__}: {metric} {fitted(made, other):.4f}")


def trained(made: Task, model: str, seed: int) -> dict[str, float]:
    """The metrics of a network on the validation split."""
    keras.utils.set_random_seed(seed)
    config = dataclasses.replace(made.configure(model), seed=seed)
    network, validation = made.build(config), made.load("validation")
    made.fit(network, made.load("train"), validation, config)
    return made.metrics(made.scores(validation, network.predict(validation.inputs, verbose=0)))


def fitted(made: Task, other: Any) -> float:
    """The metric of scikit-learn's model on the validation split."""
    train, validation = made.load("train"), made.load("validation")
    predicted = make_pipeline(StandardScaler(), other).fit(train.inputs, train.targets).predict(validation.inputs)
    if made.primary.name == "accuracy":
        return float((predicted == validation.targets).mean())
    return float(np.abs(predicted - validation.targets).mean())


if __name__ == "__main__":
    main()

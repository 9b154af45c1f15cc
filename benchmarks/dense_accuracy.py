"""The plain recipe against our `dense`, accuracy alone: many seeds in one process, in turn.

    python -m benchmarks.dense_accuracy [--seeds 100]

The speed benchmark has too few seeds to tell two recipes apart whose accuracy spreads by 0.001.
"""

from __future__ import annotations

import argparse
import statistics

import keras
import numpy as np
from scipy import stats

from tasks.contract import Split, get_task

TASK = get_task("mnist")
FIRST_SEED = 101  # not those of the speed benchmark


def plain(train: Split, validation: Split, test: Split, seed: int) -> float:
    """What benchmarks/plain_mnist.py does, without MLflow but with a seed."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.layers.Input((28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(512, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    inputs = np.concatenate([train.inputs, validation.inputs]) / 255.0
    targets = np.concatenate([train.targets, validation.targets])
    model.fit(inputs, targets, epochs=5, batch_size=128, validation_split=0.1, verbose=0)
    return float(model.evaluate(test.inputs / 255.0, test.targets, verbose=0)[1])


def ours(train: Split, validation: Split, test: Split, seed: int) -> float:
    config = TASK.configure("dense", seed=seed)
    keras.utils.set_random_seed(seed)
    model = TASK.build(config)
    TASK.fit(model, train, validation, config)
    outputs = model.predict(test.inputs, batch_size=512, verbose=0)
    return TASK.metrics(TASK.scores(test, outputs))["accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    seeds = range(FIRST_SEED, FIRST_SEED + parser.parse_args().seeds)
    splits = TASK.load("train"), TASK.load("validation"), TASK.load("test")
    results: dict[str, list[float]] = {"plain": [], "ours": []}
    for seed in seeds:
        results["plain"].append(plain(*splits, seed))
        results["ours"].append(ours(*splits, seed))
        print(f"seed {seed}: plain {results['plain'][-1]:.4f}, ours {results['ours'][-1]:.4f}", flush=True)
    for name, values in results.items():
        print(f"{name:>5}: {statistics.mean(values):.5f} ± {statistics.stdev(values):.5f} (n = {len(values)})")
    interval = stats.ttest_ind(results["ours"], results["plain"], equal_var=False).confidence_interval()
    difference = statistics.mean(results["ours"]) - statistics.mean(results["plain"])
    print(f"ours minus plain {difference:+.5f}, 95 % interval {interval.low:+.5f} to {interval.high:+.5f}")


if __name__ == "__main__":
    main()

"""Six variants of the dense network, whole processes in turn: one after another in a plain Keras script, against
`python -m steps.compare --study labs --repeats 1`, and against the same once more, when all runs are reused.

    python -m benchmarks.study_speed [--repeats 5]

Each round begins with an empty store; the data lies in the cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from benchmarks.train_speed import timed
from tasks.contract import get_task

OURS = [sys.executable, "-m", "steps.compare", "--study", "labs", "--repeats", "1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jobs", type=int, nargs="+", default=[0], help="runs at once; several numbers are compared")
    arguments = parser.parse_args()
    train, validation = (get_task("mnist").load(name) for name in ("train", "validation"))
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "mnist.npz"
        np.savez(
            data,
            x_train=np.concatenate([train.inputs, validation.inputs]),
            y_train=np.concatenate([train.targets, validation.targets]),
        )
        for number in range(arguments.repeats):
            sides = {"plain": [sys.executable, "benchmarks/plain_study.py", str(data)]}
            for jobs in arguments.jobs:
                ours = [*OURS, "--jobs", str(jobs)]
                sides |= {f"compare, jobs={jobs}": ours, f"again, jobs={jobs}": ours}
            if number % 2:  # who goes first has the machine cooler, and its caches colder
                sides["plain"] = sides.pop("plain")
            for name, command in sides.items():
                store = f"sqlite:///{folder}/{number}-{name.split(', ')[-1]}.db"
                environment = os.environ | {"MLFLOW_TRACKING_URI": store}
                MlflowClient(store).search_experiments()  # creates the database
                seconds.setdefault(name, []).append(timed(command, environment)[0])
            print(" · ".join(f"{name} {rows[-1]:.1f} s" for name, rows in seconds.items()), flush=True)
    for name, rows in seconds.items():
        ratios = [one / plain for one, plain in zip(rows, seconds["plain"], strict=True)]
        print(
            f"{name:>16}: median {statistics.median(rows):.1f} s ({min(rows):.1f} to {max(rows):.1f}), "
            f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()

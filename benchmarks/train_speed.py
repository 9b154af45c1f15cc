"""Whole processes, in turn: the plain Keras script against `python -m steps.train`, wall time and test accuracy.

    python -m benchmarks.train_speed [--repeats 5]

Both sides log to a SQLite store that is there already. Accuracy is on the test split: the plain script scores its Keras
model, ours is scored by `python -m steps.evaluate`, outside the measured time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from mlflow import MlflowClient

from benchmarks.data import save
from tasks.contract import get_task

ROOT = Path(__file__).resolve().parent.parent
OURS = {
    "dense": ["--model", "dense"],
    "cnn": ["--model", "cnn"],
    "cnn, 3 epochs": ["--model", "cnn", "--epochs", "3"],
    "cnn, 2 epochs": ["--model", "cnn", "--epochs", "2"],
}


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Wall time of a command in seconds, and its output."""
    started = time.perf_counter()
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - started, result.stdout


def plain(data: Path, environment: dict[str, str]) -> tuple[float, float]:
    seconds, output = timed([sys.executable, "benchmarks/plain_mnist.py", str(data)], environment)
    return seconds, float(output.split()[-1])


def ours(options: list[str], seed: int, environment: dict[str, str]) -> tuple[float, float]:
    step = [sys.executable, "-m"]
    seconds, _ = timed([*step, "steps.train", *options, "--seed", str(seed)], environment)
    timed([*step, "steps.evaluate"], environment)
    client = MlflowClient(environment["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("mnist")
    assert experiment is not None
    newest = client.search_runs([experiment.experiment_id], "tags.step = 'evaluate'", max_results=1)[0]
    return seconds, newest.data.metrics["test_accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    results: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        data = Path(folder) / "mnist.npz"
        save(get_task("mnist"), data)
        MlflowClient(environment["MLFLOW_TRACKING_URI"]).search_experiments()  # creates the database
        for seed in range(1, arguments.repeats + 1):
            results["plain"].append(plain(data, environment))
            for name, options in OURS.items():
                results[name].append(ours(options, seed, environment))
            print(
                " · ".join(f"{name} {rows[-1][0]:.1f} s {rows[-1][1]:.4f}" for name, rows in results.items()),
                flush=True,
            )
    report(results)


def report(results: dict[str, list[tuple[float, float]]]) -> None:
    reference = statistics.median(seconds for seconds, _ in results["plain"])
    for name, rows in results.items():
        seconds, accuracy = ([row[column] for row in rows] for column in (0, 1))
        spread = statistics.stdev(accuracy) if len(accuracy) > 1 else 0.0
        print(
            f"{name:>13}: median {statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), "
            f"ratio {statistics.median(seconds) / reference:.2f}, "
            f"test accuracy {statistics.mean(accuracy):.4f} ± {spread:.4f} (n = {len(rows)})"
        )


if __name__ == "__main__":
    main()

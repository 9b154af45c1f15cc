"""How much of CIFAR-10 is learnt in how much time, in turn: the plain Keras script against our `fast` model.

    python -m benchmarks.cifar10_speed [--repeats 5] [--epochs 2 7]

Each side in a process of its own. The time is that of the whole fit, with what it compiles, draws and validates.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.data import save
from tasks.contract import get_task

ROOT = Path(__file__).resolve().parent.parent
TASK = get_task("cifar10")


def ours(epochs: int, seed: int) -> None:
    """Trains and scores in this process."""
    import keras

    config = TASK.configure("fast", epochs=epochs, seed=seed)
    train, validation, test = (TASK.load(name) for name in ("train", "validation", "test"))
    keras.utils.set_random_seed(seed)
    model = TASK.build(config)
    started = time.perf_counter()
    TASK.fit(model, train, validation, config)
    seconds = time.perf_counter() - started
    outputs = model.predict(test.inputs, batch_size=500, verbose=0)
    print(f"fit {seconds:.1f} s, test accuracy {TASK.metrics(TASK.scores(test, outputs))['accuracy']:.4f}")


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds and test accuracy that a side says at its end."""
    output = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = re.search(r"fit ([\d.]+) s, test accuracy ([\d.]+)", output)
    assert found, output
    return float(found[1]), float(found[2])


def compare(repeats: int, epochs: list[int]) -> dict[str, list[tuple[float, float]]]:
    results: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "cifar10.npz"
        save(TASK, data)
        for seed in range(1, repeats + 1):
            results["plain"].append(measured(["benchmarks/plain_cifar10.py", str(data)]))
            for count in epochs:
                side = ["-m", "benchmarks.cifar10_speed", "--alone", str(count), str(seed)]
                results[f"fast, {count} epochs"].append(measured(side))
            print(
                " · ".join(f"{name} {rows[-1][0]:.1f} s {rows[-1][1]:.4f}" for name, rows in results.items()),
                flush=True,
            )
    return results


def report(results: dict[str, list[tuple[float, float]]]) -> None:
    for name, rows in results.items():
        seconds, accuracy = ([row[column] for row in rows] for column in (0, 1))
        ratios = [row[0] / plain[0] for row, plain in zip(rows, results["plain"], strict=True)]
        spread = statistics.stdev(accuracy) if len(accuracy) > 1 else 0.0
        print(
            f"{name:>15}: median {statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), "
            f"ratio of the same round {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
            f"test accuracy {statistics.mean(accuracy):.4f} ± {spread:.4f} (n = {len(rows)})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, nargs="+", default=[2, 7])
    parser.add_argument("--alone", type=int, nargs=2, metavar=("EPOCHS", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        ours(*arguments.alone)
    else:
        report(compare(arguments.repeats, arguments.epochs))


if __name__ == "__main__":
    main()

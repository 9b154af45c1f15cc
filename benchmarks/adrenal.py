"""How well glands are told apart, over seeds: accuracy, AUC, time of the fit, parameters, memory.

    python -m benchmarks.adrenal [--model mirror] [--seeds 1 2 3] [--split validation] [--overrides dropout=0.5]

Each seed in a process of its own, for its memory. The time is that of the whole fit, with what it compiles, draws and
validates. Choose by `--split validation`; test is for the figures in the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from steps.cli import overrides
from tasks.contract import SplitName, get_task

ROOT = Path(__file__).resolve().parent.parent
TASK = get_task("adrenal")
FIGURES = ("accuracy", "auc", "f1_macro", "loss", "calibration_error", "recall", "fit s", "parameters", "peak MB")


def one(model_name: str, seed: int, split: SplitName, fields: str) -> dict[str, float]:
    """The figures of one model, trained in this process."""
    import keras

    config = TASK.configure(model_name, overrides(fields), seed=seed)
    train, validation, judged = TASK.load("train"), TASK.load("validation"), TASK.load(split)
    keras.utils.set_random_seed(seed)
    model = TASK.build(config)
    started = time.perf_counter()
    TASK.fit(model, train, validation, config)
    seconds = time.perf_counter() - started
    scores = TASK.scores(judged, model.predict(judged.inputs, batch_size=64, verbose=0))
    return TASK.metrics(scores) | {
        "recall": float(scores.score[judged.targets == 1].mean()),  # of hyperplasia
        "fit s": seconds,
        "parameters": model.count_params(),
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mirror")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--split", choices=["validation", "test"], default="test")
    parser.add_argument("--overrides", default="")
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        found = one(arguments.model, arguments.alone, arguments.split, arguments.overrides)
        print(json.dumps(found))
        return
    rows = []
    for seed in arguments.seeds:
        command = [sys.executable, "-m", "benchmarks.adrenal", *sys.argv[1:], "--alone", str(seed)]
        output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
        rows.append(json.loads(output.splitlines()[-1]))
        print(f"seed {seed}: " + ", ".join(f"{name} {rows[-1][name]:.4g}" for name in FIGURES), flush=True)
    for name in FIGURES:
        values = [row[name] for row in rows]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{name:>18}: {statistics.mean(values):.4f} ± {spread:.4f}")


if __name__ == "__main__":
    main()

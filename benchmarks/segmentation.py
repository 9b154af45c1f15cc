"""How well a task that segments does, how long it trains and how much memory that takes, over several seeds.

    python -m benchmarks.segmentation --task nuclei [--models unet unet_no_skip] [--seeds 1 2 3] [--split test]
        [--overrides loss=dice] [--mirrored 0] [--no-lab]

The unit of time is one lab: the fit of `benchmarks/plain_cifar10.py`, in the same round, in turn. Each side has a
process of its own. Metrics are those of the exported graph, by ONNX Runtime; by how much those of the Keras model
differ is told as well. `--task circles` are noisy circles, for the networks of `nuclei`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import save
from forms.outputs import Outputs
from tasks.contract import Ragged, Split, Task, answered, get_task
from tests.toys import circles

ROOT = Path(__file__).resolve().parent.parent
MEBIBYTE = 2**10  # in the units of ru_maxrss on Linux


def task_of(name: str) -> Task:
    return circles.TASK if name == circles.TASK.name else get_task(name)


def alone(task: Task, model_name: str, seed: int, scored: Split, overrides: dict[str, str]) -> dict[str, float]:
    """Trains and scores in this process."""
    import keras

    from serving.export import export
    from serving.package import run_onnx

    config = task.configure(model_name, overrides, seed=seed)
    train, validation = task.load("train"), task.load("validation")
    keras.utils.set_random_seed(seed)
    model = task.build(config)
    started = time.perf_counter()
    task.fit(model, train, validation, config)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBIBYTE
    with tempfile.TemporaryDirectory() as folder:
        export(model, Path(folder) / "model.onnx")
        served = measures(task, scored, run_onnx(Path(folder) / "model.onnx", scored.inputs))
    kept = measures(task, scored, answered(scored.inputs, lambda batch: model.predict(batch, verbose=0)))
    differs = max(abs(served[name] - kept[name]) for name in served)
    told = {"fit, s": seconds, "peak, MiB": peak, "parameters": model.count_params(), "Keras differs by": differs}
    return served | told


def mirrored(split: Split, side: int) -> Split:
    """The same items, mirrored along one of their sides."""
    inputs, targets = (Ragged([np.flip(one, side).copy() for one in of]) for of in (split.inputs, split.targets))
    return dataclasses.replace(split, inputs=inputs, targets=targets)


def measures(task: Task, split: Split, outputs: Outputs) -> dict[str, float]:
    return task.metrics(task.scores(split, outputs))


def measured(arguments: list[str]) -> dict[str, float]:
    """What a process of this module says in its last line."""
    command = [sys.executable, "-m", "benchmarks.segmentation", *arguments]
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def lab(data: Path) -> float:
    """Seconds that the lab's fit takes."""
    command = [sys.executable, "benchmarks/plain_cifar10.py", str(data)]
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = re.search(r"fit ([\d.]+) s", output)
    assert found, output
    return float(found[1])


def compare(arguments: Any) -> dict[str, list[dict[str, float]]]:
    """What was measured of each model, a dictionary a seed."""
    results: dict[str, list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "cifar10.npz"
        if not arguments.no_lab:
            save(get_task("cifar10"), data)
        for seed in arguments.seeds:
            unit = None if arguments.no_lab else lab(data)
            for model in arguments.models or task_of(arguments.task).models:
                given = ["--task", arguments.task, "--split", arguments.split, "--overrides", *arguments.overrides]
                given += [] if arguments.mirrored is None else ["--mirrored", str(arguments.mirrored)]
                found = measured([*given, "--alone", model, str(seed)])
                found |= {"lab, s": unit, "fit, labs": found["fit, s"] / unit} if unit else {}
                results[model].append(found)
                print(f"{model}, seed {seed}: " + told(found), flush=True)
    return results


def told(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def report(results: dict[str, list[dict[str, float]]]) -> None:
    for model, rows in results.items():
        print(f"\n{model}, mean ± standard deviation of {len(rows)} seeds")
        for name in rows[0]:
            values = [row[name] for row in rows]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"{name:>20}: {statistics.mean(values):.4f} ± {spread:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="nuclei")
    parser.add_argument("--models", nargs="+", help="by default all of the task")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--split", choices=["validation", "test"], default="test")
    parser.add_argument("--overrides", nargs="*", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--mirrored", type=int, metavar="SIDE", help="along which what is scored is mirrored")
    parser.add_argument("--no-lab", action="store_true", help="measure no unit of time")
    parser.add_argument("--alone", nargs=2, metavar=("MODEL", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    task = task_of(arguments.task)
    if arguments.alone:
        model, seed = arguments.alone
        overrides = dict(one.split("=", 1) for one in arguments.overrides)
        scored = task.load(arguments.split)
        if arguments.mirrored is not None:
            scored = mirrored(scored, arguments.mirrored)
        print(json.dumps(alone(task, model, int(seed), scored, overrides)))
        return
    if task.baseline:
        split = task.load(arguments.split)
        print("baseline: " + told(measures(task, split, task.baseline(split))), flush=True)
    report(compare(arguments))


if __name__ == "__main__":
    main()

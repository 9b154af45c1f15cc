"""`kill -9` at random moments of every step, and whether the champion, the ledger, the runs and the files survive it.

    python -m benchmarks.random_kills [--kills 100] [--seed 0]

On digits, in a temporary store. A step is started as a user does and killed somewhere within the time it takes. Then
the champion has to load and answer, and the ledger has to agree with the alias. In the end the next command has to find
no open run, and no file of a killed process is left.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient

from registry.ledger import Ledger
from tasks.contract import get_task

ROOT = Path(__file__).resolve().parent.parent
TASK = get_task("digits")
STEPS: dict[str, list[str]] = {
    "train": ["--epochs", "3"],
    "evaluate": [],
    "promote": [],
    "rollback": [],
    "main": ["--epochs", "3"],
    "compare": ["--study", "models", "--repeats", "1", "--force", "true"],
    "compare search": ["--study", "search", "--trials", "4"],
}


def start(step: str, seed: int) -> subprocess.Popen[bytes]:
    arguments = [*STEPS[step], *(["--seed", str(seed)] if step in ("train", "main") else [])]
    command = [sys.executable, "-m", f"steps.{step.split()[0]}", "--task", TASK.name, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def seconds_of(step: str) -> float:
    """What a step takes that nobody kills."""
    started = time.monotonic()
    start(step, seed=1).wait()
    return time.monotonic() - started


def killed(step: str, moment: float, seed: int) -> bool:
    """Whether a step was still there to be killed at that moment."""
    process = start(step, seed)
    try:
        process.wait(timeout=moment)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True


def check(client: MlflowClient, items: np.ndarray) -> str:
    """What is wrong with the champion or the ledger; empty where nothing is."""
    try:
        answer = mlflow.pyfunc.load_model(f"models:/{TASK.name}@champion").predict(list(items))
    except Exception as error:
        return f"the champion does not load: {error}"
    if answer.shape != (len(items), 10) or not np.isfinite(answer).all():
        return f"the champion answers {answer}"
    experiment = client.get_experiment_by_name(TASK.name)
    assert experiment is not None
    ledger = Ledger.open(client, TASK.name, experiment.experiment_id)
    last, alias = ledger.settle()[-1].after, ledger.champion()
    return "" if last == alias else f"the ledger says version {last}, the alias {alias}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, "tmp")
        temporary.mkdir()
        os.environ |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "TMPDIR": str(temporary)}
        mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
        report(arguments.kills, random.Random(arguments.seed), temporary)


def report(kills: int, chance: random.Random, temporary: Path) -> None:
    client, items = MlflowClient(), TASK.load("validation").inputs[:3]
    for seed in (2, 3):
        start("main", seed).wait()
    seconds = {step: seconds_of(step) for step in STEPS}
    print("seconds a step:", ", ".join(f"{step} {value:.0f}" for step, value in seconds.items()), flush=True)
    done: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    while done.total() < kills:
        step = list(STEPS)[done.total() % len(STEPS)]
        if not killed(step, chance.uniform(0.3, seconds[step]), seed=100 + done.total()):
            continue
        done[step] += 1
        if problem := check(client, items):
            wrong.append(f"{step}: {problem}")
            print(wrong[-1], flush=True)
        if done.total() % 10 == 0:
            print(f"{done.total()} kills, {len(wrong)} problems", flush=True)
    start("evaluate", seed=1).wait()
    experiment = client.get_experiment_by_name(TASK.name)
    assert experiment is not None
    open_runs = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
    left = [path for path in temporary.rglob("*") if path.is_file() and not path.name.startswith("machine")]
    print(f"kills: {', '.join(f'{step} {count}' for step, count in done.items())}; {done.total()} in all")
    print(f"problems: {len(wrong)}; runs left open: {len(open_runs)}; files left: {len(left)}")
    for what in (*wrong, *(run.info.run_name for run in open_runs), *left):
        print(f"  {what}")
    sys.exit(bool(wrong or open_runs or left))


if __name__ == "__main__":
    main()

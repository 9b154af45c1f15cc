"""What clients of the gateway notice of a challenger that answers in the champion's shadow.

    python -m benchmarks.shadow [--task digits] [--rounds 15]

In a temporary store, with a champion and a challenger. Two gateways, one with shadow=0 and one with shadow=1, are asked
in turn, 500 requests each over one connection, 2 ms apart; which one comes first changes with every round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import requests
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.slow_clients import REQUESTS, latencies
from serving.server import free_port, running
from tasks.contract import Task, get_task

ROOT = Path(__file__).resolve().parent.parent
SETTLE_SECONDS = 60.0  # for the challenger to answer what it was left
SHARES = (0, 1)


def prepare(task: Task) -> None:
    """A champion, and a challenger with another seed."""
    for step, *options in (
        ("main", "--seed", "1"),
        ("train", "--seed", "2"),
        ("evaluate",),
        ("promote", "--model-uri", "latest", "--to", "challenger"),
    ):
        command = [sys.executable, "-m", f"steps.{step}", "--task", task.name, *options]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def shadowed(port: int) -> dict[str, float]:
    """Items that the challenger was to answer, by what became of them."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {one.labels["outcome"]: one.value for one in samples if one.name == "model_shadow_items_total"}


def settled(port: int, items: int) -> dict[str, float]:
    """The same, once all of so many items are counted."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while sum((found := shadowed(port)).values()) < items and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def measure(ports: dict[int, int], body: bytes, rounds: int) -> None:
    """Prints what each round and all of them gave.

    Args:
        ports: By the share that the gateway there shadows.
        body: Of each request.
        rounds: How often both are asked.
    """
    quantiles: dict[int, list[tuple[float, float]]] = {share: [] for share in SHARES}
    for number in range(rounds):
        for share in SHARES if number % 2 else SHARES[::-1]:
            p50, p95 = np.quantile(latencies(ports[share], body), [0.5, 0.95])
            quantiles[share].append((float(p50), float(p95)))
            found = settled(ports[1], REQUESTS * (len(quantiles[1]) + 1))
        without, beside = (quantiles[share][-1] for share in SHARES)
        ratio = beside[1] / without[1]
        print(f"round {number + 1}: p95 {without[1]:.2f} ms without, {beside[1]:.2f} ms with; ratio {ratio:.2f}")
    for place, name in enumerate(("p50", "p95")):
        values = {share: [one[place] for one in quantiles[share]] for share in SHARES}
        ratios = [beside / without for without, beside in zip(values[0], values[1], strict=True)]
        medians = " and ".join(f"{statistics.median(values[share]):.2f} ms with shadow={share}" for share in SHARES)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{name}: {medians}; ratio by round {statistics.median(ratios):.2f} ({spread})")
    print(f"the challenger: {found}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    task = get_task(arguments.task)
    body = json.dumps({task.item.field: task.load("validation").inputs[0].ravel().tolist()}).encode()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        prepare(task)
        ports = {share: free_port() for share in SHARES}
        without, beside = (
            [
                sys.executable,
                "-m",
                "steps.serve",
                "--task",
                task.name,
                "--port",
                str(ports[share]),
                "--shadow",
                str(share),
            ]
            for share in SHARES
        )
        with running(without, ports[0], "/readyz"), running(beside, ports[1], "/readyz"):
            for port in ports.values():
                latencies(port, body)  # warm
            if settled(ports[1], REQUESTS).get("agreed", 0) == 0:
                sys.exit("The challenger answered nothing.")
            measure(ports, body, arguments.rounds)


if __name__ == "__main__":
    main()

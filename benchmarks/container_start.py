"""How long containers take from `docker run` to their first healthy answer, in turn.

    python -m benchmarks.container_start dlc-mnist:1 [another image ...] [--rounds 5]

Each image as it is, and with 512 MB of memory and one CPU. `mlflow run . -e build` builds them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time

import requests

LIMITS: dict[str, list[str]] = {"no limit": [], "512 MB, 1 CPU": ["--memory", "512m", "--cpus", "1"]}
PATIENCE = 120  # seconds


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def seconds_to_ready(image: str, options: list[str]) -> float:
    started = time.perf_counter()
    container = docker("run", "--detach", *options, "-p", "127.0.0.1::8080", image)
    try:
        url = f"http://{docker('port', container, '8080')}/ping"
        while time.perf_counter() - started < PATIENCE:
            try:
                if requests.get(url, timeout=1).ok:
                    return time.perf_counter() - started
            except requests.RequestException:
                pass
            time.sleep(0.02)
        raise SystemExit(f"{image} does not answer within {PATIENCE} s:\n{docker('logs', container)}")
    finally:
        docker("rm", "--force", container)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(arguments.rounds):
        for image in arguments.images:
            for limit, options in LIMITS.items():
                seconds.setdefault((image, limit), []).append(seconds_to_ready(image, options))
    for (image, limit), values in seconds.items():
        size = int(docker("image", "inspect", "-f", "{{.Size}}", image)) / 1e6
        median = statistics.median(values)
        print(f"{image} ({size:.0f} MB), {limit}: {median:.2f} s ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()

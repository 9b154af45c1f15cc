"""Entry point of the container: MLflow's scoring server with as many workers as it has CPUs and memory for.

`--check` asks the running server whether it is ready instead. uvicorn reads its own options from `UVICORN_*`.
"""

import json
import math
import os
import sys
from http.client import HTTPConnection
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
PEAK = Path(__file__).with_name("peak_bytes")  # what a worker of this model was seen to take when the image was made
MANIFEST = Path(__file__).with_name("manifest.json")  # the model's files as they were when the image was made
MODEL_PATH = "__pyfunc_model_path__"  # how MLflow tells its scoring server what to load
SPARE_BYTES = 96 * 2**20  # for requests at once, and for larger ones


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        connection = HTTPConnection("127.0.0.1", int(os.environ["UVICORN_PORT"]), timeout=2)
        connection.request("GET", "/ping")
        sys.exit(connection.getresponse().status != 200)
    check_model()
    # Replaces this process, so that uvicorn gets the container's signals.
    command = ["uvicorn", "server:app", "--app-dir", str(Path(__file__).parent), "--workers", str(workers())]
    os.execvp(command[0], command)


def check_model() -> None:
    """Ends the start where the model's files are not those that the image was made with."""
    if not MANIFEST.exists():  # this is no image
        return
    from serving.manifest import difference, manifest_of  # --check, every few seconds, does without them

    folder = Path(os.environ[MODEL_PATH])
    if problem := difference(manifest_of(folder), json.loads(MANIFEST.read_text())):
        sys.exit(f"error: {folder} is not what the image was made with: {problem}. Restore the file, or build anew.")


def workers() -> int:
    """As many as MLFLOW_MODELS_WORKERS says, else as there are CPUs and memory for."""
    chosen = os.environ.get("MLFLOW_MODELS_WORKERS")
    if not chosen:
        return max(1, min(cpus(), memory() // (int(PEAK.read_text()) + SPARE_BYTES)))
    if not chosen.isdecimal() or int(chosen) < 1:
        sys.exit(f"error: MLFLOW_MODELS_WORKERS must be a whole number of at least 1, received {chosen!r}.")
    return int(chosen)


def cpus() -> int:
    """CPUs that the container may use, rounded up."""
    quota, period = limits("cpu.max", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us") or (-1, 1)
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return present if quota < 0 else min(present, math.ceil(quota / period))


def memory() -> int:
    """Bytes that the container may use."""
    (limit,) = limits("memory.max", "memory/memory.limit_in_bytes") or (-1,)
    return sys.maxsize if limit < 0 else limit


def limits(*names: str) -> list[int]:
    """The numbers in those of these control group files that exist: version 2's, then version 1's. -1 is no limit."""
    files = [CGROUP / name for name in names]
    words = " ".join(file.read_text() for file in files if file.exists()).split()
    return [-1 if word == "max" else int(word) for word in words]


if __name__ == "__main__":
    main()

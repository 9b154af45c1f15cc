"""How long a served model takes for a volume much larger than its window, and how much memory.

    python -m benchmarks.large_volume [--task hippocampus] [--side 512]

The volume is noise, as a compressed NIfTI file in base64, which is what a scoring server is sent. The network is not
trained: its weights have no part in what it costs. It is loaded and asked in a process of its own.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tasks.contract import get_task

MEBIBYTE, GIBIBYTE = 2**10, 2**20  # in the units of ru_maxrss on Linux


def volume(side: int, spacing: float) -> bytes:
    """A file of side³ voxels of 16 bits, whose first axis runs to the left."""
    from nibabel.nifti1 import Nifti1Image

    generator = np.random.default_rng(0)
    voxels = np.stack([generator.normal(1000, 300, (side, side)).astype(np.int16) for _ in range(side)])
    data = Nifti1Image(voxels, np.diag([-spacing, spacing, spacing, 1])).to_bytes()
    return base64.b64encode(gzip.compress(data, compresslevel=1))


def make(name: str, side: int, folder: Path) -> None:
    """Puts the model and the volume into a folder."""
    from serving.package import package

    task = get_task(name)
    validation = task.load("validation").take(np.arange(3))
    (folder / "package").mkdir()
    packaged = package(task, task.build(task.configure()), validation, folder / "package")
    packaged.save_model(folder / "model")
    (folder / "volume").write_bytes(volume(side, getattr(task.item, "spacing", 0) or 1.0))


def ask(folder: Path) -> None:
    """Loads the model and asks it, in this process."""
    import mlflow

    model = mlflow.pyfunc.load_model(str(folder / "model"))
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent = (folder / "volume").read_text()
    started = time.perf_counter()
    (answer,) = model.predict([sent])
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{len(sent) / 1e6:.0f} MB sent, {len(answer) / 1e6:.0f} MB answered after {seconds:.0f} s; "
        f"{loaded / MEBIBYTE:.0f} MiB in memory before, {peak / GIBIBYTE:.2f} GiB at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="hippocampus")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        ask(arguments.ask)
        return
    with tempfile.TemporaryDirectory() as folder:
        make(arguments.task, arguments.side, Path(folder))
        subprocess.run([sys.executable, "-m", "benchmarks.large_volume", "--ask", folder], check=True)


if __name__ == "__main__":
    main()

"""How long a served model takes for a volume much larger than its window, and how much memory.

    python -m benchmarks.large_volume [--task hippocampus] [--side 512]

The volume is noise, as a compressed NIfTI file in base64, which is what a scoring server is sent. The network is not
trained: its weights have no part in what it costs. It is asked over HTTP, with the server of the slim image. Memory is
that of the largest process of it, so this runs on Linux alone.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from serving.container import slim_server
from serving.server import Client
from tasks.contract import get_task

LONGEST_SECONDS = 3600.0


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
    """Serves the model, and asks it."""
    sent = b'{"inputs": ["' + (folder / "volume").read_bytes() + b'"]}'
    with slim_server(folder / "model", MOST_BODY_BYTES=str(len(sent))) as port:
        loaded = peak()
        started = time.perf_counter()
        reply = Client(port, timeout=LONGEST_SECONDS).invoke(sent)
        seconds = time.perf_counter() - started
        most = peak()
    assert reply.status == 200, reply.body[:200]
    print(
        f"{len(sent) / 1e6:.0f} MB sent, {len(reply.body) / 1e6:.0f} MB answered after {seconds:.0f} s; "
        f"{loaded:.2f} GiB in memory before, {most:.2f} GiB at most"
    )


def peak() -> float:
    """The most memory that one of the processes that this one started has had so far, in GiB."""
    found = [Path(f"/proc/{child.pid}/status").read_text() for child in psutil.Process().children(recursive=True)]
    kibibytes = [int(line.split()[1]) for status in found for line in status.splitlines() if line.startswith("VmHWM")]
    return max(kibibytes) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="hippocampus")
    parser.add_argument("--side", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(arguments.task, arguments.side, Path(folder))
        ask(Path(folder))


if __name__ == "__main__":
    main()

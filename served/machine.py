"""What of the machine this process may use. Needs nothing but Python, because the container's entry point has a copy of
this file."""

import math
import multiprocessing
import os
import sys
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cpus() -> int:
    """CPUs that this process may use, rounded up. Libraries count the host's, not a container's."""
    quota, period = _limits("cpu.max", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us") or (-1, 1)
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return present if quota < 0 else min(present, math.ceil(quota / period))


def memory() -> int:
    """Bytes that this process may use."""
    (limit,) = _limits("memory.max", "memory/memory.limit_in_bytes") or (-1,)
    return sys.maxsize if limit < 0 else limit


def is_one_of_several() -> bool:
    """Whether uvicorn runs this process as one of several workers; a single one is nobody's child."""
    return multiprocessing.parent_process() is not None


def _limits(*names: str) -> list[int]:
    """The numbers in those of these control group files that exist: version 2's, then version 1's. -1 is no limit."""
    files = [CGROUP / name for name in names]
    words = " ".join(file.read_text() for file in files if file.exists()).split()
    return [-1 if word == "max" else int(word) for word in words]

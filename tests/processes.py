"""Processes that tests look for."""

from __future__ import annotations

import os

import psutil


def processes_of(module: str, parent: int | None = None) -> list[psutil.Process]:
    """Those below this process, or below another one, that run a module of ours. One that has ended is none, also
    while whoever started it has not waited for it yet."""
    below = psutil.Process(os.getpid() if parent is None else parent).children(recursive=True)
    return [process for process in below if module in words(process)]


def words(process: psutil.Process) -> list[str]:
    """How it was started; nothing of one that has ended or is somebody else's."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []

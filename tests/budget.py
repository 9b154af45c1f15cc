"""How long the tests of each task take: a task more must stay cheap. Printed, and no test fails by it."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from tasks.contract import task_names

BUDGETS = {"default": 15.0, "slow": 90.0}  # seconds a task, of the default tests and of the slow ones


class Budget:
    """Adds up what the reports of the tests say."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if task := _task(report.nodeid):
            self._seconds[task, "slow" if "slow" in report.keywords else "default"] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._seconds:
            return
        terminalreporter.section("seconds of test time a task, of its budget", sep="-")
        for (task, kind), seconds in sorted(self._seconds.items()):
            over = " (over)" if seconds > BUDGETS[kind] else ""
            terminalreporter.line(f"{task:<12} {kind:<8} {seconds:6.1f} of {BUDGETS[kind]:.0f}{over}")


def _task(test: str) -> str | None:
    """Whose test it is, by its folder or by its parameter in the tests of the contract."""
    folder = re.match(r"tests/tasks/(\w+)/", test)
    parameter = re.match(r"tests/test_task_contract\.py::\w+\[(\w+)", test)
    found = folder or parameter
    return found[1] if found and found[1] in task_names() else None

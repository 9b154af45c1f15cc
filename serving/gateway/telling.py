"""How those that look at the registry again and again say what they find."""

from __future__ import annotations

import logging

from tasks.contract import one_line


class Once:
    """Logs what is not what it logged last: who looks every second would say the same for long."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._last = ""

    def say(self, level: int, message: str) -> None:
        if message != self._last:
            self._logger.log(level, message)
        self._last = message

    def forget(self) -> None:
        """What was said last is over, and is said again where it comes back."""
        self._last = ""


def words(error: BaseException) -> str:
    """An error in a line."""
    text = one_line(error)
    return text if text and isinstance(error, Exception) else f"{type(error).__name__} {text}".strip()

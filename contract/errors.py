"""Mistakes of a user, told in one line: what was expected, what came, what to do."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class UserError(Exception):
    """A mistake of the user's, told in one line: what was expected, what came, what to do."""


def one_line(reason: object) -> str:
    """An error, or whatever else may have several lines, as one."""
    return " ".join(str(reason).split())


def unknown(what: str, name: str, available: Sequence[str] | Mapping[str, Any]) -> str:
    """The message for a name that is not on the list, with the nearest one that is."""
    close = difflib.get_close_matches(name, list(available), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"Unknown {what}: {name!r}.{hint} Available: {', '.join(available)}."


def how_to_run(entry_point: str, **parameters: str) -> str:
    """The command line that runs an entry point in the environment of this process, for people to copy."""
    environment = Path(sys.prefix)
    manager = "--env-manager local"
    if environment.name.startswith("mlflow-"):  # `mlflow run` made it, and makes it known by that name
        manager = "" if (environment / "conda-meta").is_dir() else "--env-manager uv"
    given = [f"-P {name}={value}" for name, value in parameters.items()]
    return " ".join(filter(None, ["mlflow run .", f"-e {entry_point}", *given, manager]))


def check_least(settings: object, least: int, *names: str) -> None:
    """Refuses attributes of these names that are below `least`, infinite or not a number."""
    for name in names:
        value = getattr(settings, name)
        if not least <= value < math.inf:
            kind = "a finite number of " if isinstance(value, float) else ""
            raise UserError(f"{name} must be {kind}at least {least}, received {value}.")


def check_above_zero(settings: object, name: str) -> None:
    """Refuses an attribute that is 0 or below, infinite or not a number."""
    if not 0 < (value := getattr(settings, name)) < math.inf:
        raise UserError(f"{name} must be a finite number above 0, received {value}.")


def check_share(settings: object, name: str) -> None:
    """Refuses an attribute that is below 0 or not below 1."""
    if not 0 <= (value := getattr(settings, name)) < 1:
        raise UserError(f"{name} must be at least 0 and below 1, received {value}.")


def check_between(settings: object, least: int, most: int, name: str) -> None:
    """Refuses an attribute that is below `least` or above `most`."""
    if not least <= (value := getattr(settings, name)) <= most:
        raise UserError(f"{name} must be from {least} to {most}, received {value}.")

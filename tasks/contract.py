"""The contract between a task and the rest of the project.

A task is a folder `tasks/<name>/` whose package defines `TASK`, a frozen `Task`. Steps, registry and serving know tasks
through this module only, so a new task needs no change outside its own folder.
"""

from contract.batches import answered, batches, bounded
from contract.cache import cache_folder
from contract.config import Config
from contract.data import Scores, Split, SplitName
from contract.errors import (
    UserError,
    check_above_zero,
    check_between,
    check_least,
    check_share,
    how_to_run,
    one_line,
    unknown,
)
from contract.items import Files, Items, Ragged
from contract.own_steps import Journal, OwnStep
from contract.studies import Range, Search, Study
from contract.task import Figures, Primary, Task, get_task, lazily, task_names

__all__ = [
    "Config",
    "Figures",
    "Files",
    "Items",
    "Journal",
    "OwnStep",
    "Primary",
    "Ragged",
    "Range",
    "Scores",
    "Search",
    "Split",
    "SplitName",
    "Study",
    "Task",
    "UserError",
    "answered",
    "batches",
    "bounded",
    "cache_folder",
    "check_above_zero",
    "check_between",
    "check_least",
    "check_share",
    "get_task",
    "how_to_run",
    "lazily",
    "one_line",
    "task_names",
    "unknown",
]

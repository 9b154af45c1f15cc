"""Python runs this as it starts, where the folder is on PYTHONPATH: the modules named in the variable are not there."""

import importlib.abc
import os
import sys


class Fence(importlib.abc.MetaPathFinder):
    def __init__(self, hidden: set[str]) -> None:
        self._hidden = hidden

    def find_spec(self, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        if fullname in self._hidden:
            raise ModuleNotFoundError(
                f"No module named {fullname!r} among what the model requires; add it to the model's requirements",
                name=fullname,
            )


sys.meta_path.insert(0, Fence(set(os.environ.get("DL_LIFECYCLE_FENCE", "").split(","))))

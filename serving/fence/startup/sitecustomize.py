"""Python runs this as it starts, where the folder is on PYTHONPATH: the modules named in the variable are not there."""

import os
import sys
from importlib.machinery import PathFinder

HIDDEN = frozenset(os.environ.get("DL_LIFECYCLE_FENCE", "").split(","))


class Fence(PathFinder):
    """Finds modules as Python does, but not the hidden ones."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        return None if fullname in HIDDEN else super().find_spec(fullname, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Fence

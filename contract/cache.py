"""Where what was fetched or computed once is kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """`$DL_LIFECYCLE_CACHE`, else `dl-lifecycle` where this operating system has a user's caches."""
    return Path(os.environ.get("DL_LIFECYCLE_CACHE") or user_cache_path("dl-lifecycle", appauthor=False))

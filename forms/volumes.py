"""Volumes as a page shows them: a byte a voxel, and not too many of them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

MOST_SHOWN = 64  # voxels of a side


def thinned(volume: np.ndarray) -> np.ndarray:
    """A volume of at most MOST_SHOWN voxels a side: of a longer one every second voxel, or third."""
    return volume[tuple(slice(None, None, -(-side // MOST_SHOWN)) for side in volume.shape)]


def shown(volume: np.ndarray) -> dict[str, Any]:
    """A volume of uint8, as `shown_schema` has it."""
    few = thinned(volume)
    return {"shape": list(few.shape), "bytes": base64.b64encode(few.tobytes()).decode()}


def shown_schema(words: str) -> dict[str, Any]:
    """The JSON schema of a volume that is shown.

    Args:
        words: What it is, and what its bytes mean.
    """
    sides = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 3, "maxItems": 3}
    form = f"{words} At most {MOST_SHOWN} voxels of each side, a byte each, in C order and base64."
    properties = {"shape": sides, "bytes": {"type": "string"}}
    return {"type": "object", "required": [*properties], "properties": properties, "description": form}

"""A mask of a volume: to which of some classes each voxel belongs."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from forms.answers.mask import Mask
from forms.volumes import shown, shown_schema
from served.classes import likeliest
from served.volume_file import header, nifti_like, voxels
from served.volume_header import Header


@dataclass(frozen=True)
class VolumeMask(Mask):
    """Outputs of shape (N, right, front, up, classes) float32, which sum to 1 at every voxel.

    Attributes:
        classes: Their names, in the order of the outputs; the first is the background.
    """

    writer: ClassVar[str] = "volume masks"
    rank: ClassVar[int] = 3

    def sent(self, served: Any, as_files: bool) -> list[Any]:
        if not as_files:
            return super().sent(served, as_files)
        return [base64.b64encode(nifti_like(None, likeliest(one))).decode() for one in served]

    def received(self, sent: str) -> np.ndarray:
        data = base64.b64decode(sent)
        return voxels(data, header(data))

    def reply(self, served: np.ndarray, file: bytes | None = None) -> dict[str, Any]:
        """The likeliest class of each voxel, by its place in `classes`, as a NIfTI file whose voxels lie where those of
        the file do that was sent; each class's share of the volume, and where a file came, each one's size."""
        classes = likeliest(served)
        head = header(file) if file else None
        shares = self._shares(classes)
        mask = base64.b64encode(nifti_like(head, classes)).decode()
        sizes = {"millilitres": self._millilitres(shares, classes.size, head)} if head else {}
        return {"mask": mask, "shares": shares, **sizes, "shown": shown(classes)}

    def _millilitres(self, shares: dict[str, float], count: int, head: Header) -> dict[str, float]:
        """How large each class is but the background."""
        voxel = math.prod(head.spacing) / 1000
        return {name: round(shares[name] * count * voxel, 6) for name in self.classes[1:]}

    def schema(self) -> dict[str, Any]:
        schema = super().schema()
        size = {"type": "number", "minimum": 0}
        schema["properties"] |= {
            "mask": {
                "type": "string",
                "contentEncoding": "base64",
                "contentMediaType": "application/gzip",
                "description": "A NIfTI file, .nii.gz, whose voxels are places in the model's `classes`.",
            },
            "millilitres": {
                "type": "object",
                "required": list(self.classes[1:]),
                "properties": dict.fromkeys(self.classes[1:], size),
                "description": "Of an uploaded volume: how large each class is.",
            },
            "shown": shown_schema("The mask as a page may show it: places in the model's `classes`."),
        }
        schema["required"].append("shown")
        return schema


FORM = VolumeMask
